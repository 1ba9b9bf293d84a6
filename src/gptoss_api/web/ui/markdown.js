// Markdown as models write it, made into elements. No HTML is read: a tag in an answer is shown as text, an image
// is a link that nothing loads, and a link leads to http, https or mailto only.
//
// A text that still grows is rendered block by block: what is complete is left alone, only the last block is made
// anew.

import { copyButton, h } from "./dom.js";
import { highlight } from "./highlight.js";

const MAX_DEPTH = 12;
const MAX_OPEN = 40;
// The depth of the page's own heading.
const TITLE = 1;

// None of them looks at a character more than a few times, however a line is made.
const FENCE = /^( {0,3})(`{3,}|~{3,})([^`\n]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?=[ \t]|$)(.*)$/;
const RULE = /^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( +|\t|$)/;
const TABLE_RULE = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$/;
const TASK = /^\[([ xX])\] /;
const MATHS = { "$$": "$$", "\\[": "\\]" };

// -- a text that grows -------------------------------------------------------------------------------------

/** Renders into `element`; `closed(text)` is told of each block that is complete, for screen readers. */
export class Markdown {
  #element;
  #closed;
  #done = 0;
  #open = [];
  #openBlock = null;
  // How deep the last heading was.
  #depth = TITLE;

  constructor(element, closed = () => {}) {
    this.#element = element;
    this.#closed = closed;
  }

  /** Shows `text`, which begins with what was shown before. `complete` says that nothing follows. */
  update(text, complete = false) {
    const rest = text.slice(this.#done);
    const blocks = parse(rest.split("\n"));
    let keep = complete ? blocks.length : blocks.length - 1;
    // A line that is not complete may yet turn out to belong to the block before it.
    if (!complete && keep > 0 && blocks[keep].start > rest.lastIndexOf("\n")) keep -= 1;
    const growing = blocks[Math.max(keep, 0)];
    if (keep <= 0 && growing && this.#grows(growing)) return;
    for (const node of this.#open) node.remove();
    for (const block of blocks.slice(0, Math.max(keep, 0))) {
      if (block.type === "heading") this.#depth = block.depth = depthOf(block, this.#depth);
      const node = render(block);
      this.#element.append(node);
      this.#closed(node.textContent);
    }
    const open = blocks.slice(Math.max(keep, 0));
    for (const block of open) if (block.type === "heading") block.depth = depthOf(block, this.#depth);
    this.#open = open.map(render);
    this.#openBlock = open[0] ?? null;
    this.#element.append(...this.#open);
    this.#done += growing ? growing.start : complete ? rest.length : 0;
    if (complete) this.#done = text.length;
    // Starts are counted from what is left from now on.
  }

  /** Whether the open block is code that only became longer; its element is kept, and what is selected in it. */
  #grows(block) {
    const before = this.#openBlock;
    if (!before || before.type !== "code" || block.type !== "code" || block.start !== 0 || block.ended) return false;
    if (this.#open.length !== 1 || !block.text.startsWith(before.text) || block.language !== before.language) return false;
    const code = this.#open[0].querySelector("code");
    code.append(block.text.slice(before.text.length));
    before.text = block.text;
    return true;
  }
}

/** A heading is below the page's title, and one deeper than the last at most, however many hashes it has. */
function depthOf({ level }, last) {
  return Math.min(level + TITLE, last + 1, 6);
}

// -- blocks ------------------------------------------------------------------------------------------------

/** The blocks of `lines`; `start` of each is its offset in the text that they were split from. */
function parse(lines, depth = 0) {
  const starts = [];
  let offset = 0;
  for (const line of lines) {
    starts.push(offset);
    offset += line.length + 1;
  }
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [block, next] = read(lines, at, depth);
    block.start = starts[at];
    blocks.push(block);
    at = next;
  }
  return blocks;
}

function read(lines, at, depth) {
  const line = lines[at];
  let found;
  if ((found = FENCE.exec(line))) return fenced(lines, at, found);
  if ((found = HEADING.exec(line))) return [{ type: "heading", level: found[1].length, text: unhashed(found[2].trim()) }, at + 1];
  if (RULE.test(line)) return [{ type: "rule" }, at + 1];
  if (/^ {4}|^\t/.test(line)) return indented(lines, at);
  const opened = Object.keys(MATHS).find((mark) => line.trimStart().startsWith(mark));
  if (opened) {
    const read = maths(lines, at, opened);
    if (read) return read;
  }
  if (depth < MAX_DEPTH) {
    if (QUOTE.test(line)) return quoted(lines, at, depth);
    if (ITEM.test(line)) return listed(lines, at, depth);
  }
  if (beginsTable(lines, at)) return tabled(lines, at);
  return paragraph(lines, at, depth);
}

/** A heading without the hashes that may close it. */
function unhashed(text) {
  const bare = text.replace(/#+$/, "");
  return bare === "" || /[ \t]$/.test(bare) ? bare.trimEnd() : text;
}

function beginsTable(lines, at) {
  const rule = (lines[at + 1] ?? "").trim();
  if (!lines[at].includes("|") || !TABLE_RULE.test(rule)) return false;
  return cells(lines[at]).length === cells(rule).length;
}

function fenced(lines, at, [, indent, fence, info]) {
  const end = new RegExp(`^ {0,3}${fence[0]}{${fence.length},}[ \\t]*$`);
  const text = [];
  let next = at + 1;
  while (next < lines.length && !end.test(lines[next])) {
    text.push(lines[next].replace(new RegExp(`^ {0,${indent.length}}`), ""));
    next += 1;
  }
  const language = info.trim().split(/\s/)[0].toLowerCase();
  return [{ type: "code", language, text: text.join("\n"), ended: next < lines.length }, next + 1];
}

function indented(lines, at) {
  let next = at;
  let last = at;
  while (next < lines.length && (/^ {4}|^\t/.test(lines[next]) || !lines[next].trim())) {
    if (lines[next].trim()) last = next;
    next += 1;
  }
  const text = lines.slice(at, last + 1).map((line) => line.replace(/^(?: {4}|\t)/, ""));
  return [{ type: "code", language: "", text: text.join("\n"), ended: next < lines.length }, next];
}

function maths(lines, at, opened) {
  const text = [];
  for (let next = at; next < lines.length; next += 1) {
    const line = next === at ? lines[next].trimStart().slice(2) : lines[next];
    const end = line.indexOf(MATHS[opened]);
    if (end >= 0) {
      if (line.slice(end + 2).trim()) return null;
      text.push(line.slice(0, end));
      return [{ type: "maths", text: text.join("\n").trim() }, next + 1];
    }
    if (next > at && !line.trim()) return null;
    text.push(line);
  }
  return null;
}

function quoted(lines, at, depth) {
  let next = at;
  const inside = [];
  while (next < lines.length && lines[next].trim() && (QUOTE.test(lines[next]) || !begins(lines[next]))) {
    inside.push(lines[next].replace(QUOTE, ""));
    next += 1;
  }
  return [{ type: "quote", blocks: parse(inside, depth + 1) }, next];
}

function listed(lines, at, depth) {
  const first = ITEM.exec(lines[at])[2];
  const ordered = /\d/.test(first);
  const mark = first.at(-1);
  const items = [];
  let loose = false;
  let next = at;
  while (next < lines.length) {
    const found = ITEM.exec(lines[next]);
    if (!found || found[2].at(-1) !== mark || RULE.test(lines[next])) break;
    // What belongs to an item is indented as far as its text.
    const spaces = found[3].length > 4 ? 1 : Math.max(found[3].length, 1);
    const width = found[1].length + found[2].length + spaces;
    const inside = [lines[next].slice(width)];
    next += 1;
    let blank = false;
    while (next < lines.length) {
      const line = lines[next];
      if (!line.trim()) {
        blank = true;
        inside.push("");
      } else if (indentOf(line) >= Math.min(width, 2 + found[1].length) && indentOf(line) > found[1].length) {
        loose ||= blank && !ITEM.test(line.trimStart());
        blank = false;
        inside.push(dedented(line, width));
      } else if (!blank && !begins(line)) {
        inside.push(line.trimStart());
      } else break;
      next += 1;
    }
    while (inside.length && !inside.at(-1).trim()) inside.pop();
    items.push(parse(inside, depth + 1));
    if (blank) {
      if (next < lines.length && ITEM.exec(lines[next])?.[2].at(-1) === mark) loose = true;
      else break;
    }
  }
  return [{ type: "list", ordered, from: ordered ? Number.parseInt(first, 10) : 1, loose, items }, next];
}

function indentOf(line) {
  let width = 0;
  for (const character of line) {
    if (character === " ") width += 1;
    else if (character === "\t") width += 4 - (width % 4);
    else break;
  }
  return width;
}

function dedented(line, width) {
  let at = 0;
  let left = width;
  while (left > 0 && (line[at] === " " || line[at] === "\t")) {
    left -= line[at] === "\t" ? 4 : 1;
    at += 1;
  }
  return line.slice(at);
}

function tabled(lines, at) {
  const align = cells(lines[at + 1]).map((rule) => (rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "right") : "left"));
  const rows = [];
  let next = at + 2;
  while (next < lines.length && lines[next].trim() && lines[next].includes("|")) {
    rows.push(cells(lines[next]));
    next += 1;
  }
  return [{ type: "table", align, head: cells(lines[at]), rows }, next];
}

/** The cells of a row: a bar in code or behind a backslash is none between two. */
function cells(line) {
  const found = [""];
  let code = false;
  const text = line.trim().replace(/^\|/, "").replace(/(^|[^\\])\|$/, "$1");
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "\\" && text[at + 1] === "|") {
      found[found.length - 1] += "|";
      at += 1;
    } else if (text[at] === "|" && !code) found.push("");
    else {
      if (text[at] === "`") code = !code;
      found[found.length - 1] += text[at];
    }
  }
  return found.map((cell) => cell.trim());
}

/** Whether a line begins a block even without an empty line before it. */
function begins(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

function paragraph(lines, at, depth) {
  let next = at + 1;
  while (next < lines.length && lines[next].trim()) {
    const line = lines[next];
    if (depth < MAX_DEPTH ? begins(line) : FENCE.test(line)) break;
    if (beginsTable(lines, next)) break;
    if (Object.keys(MATHS).some((mark) => line.trimStart().startsWith(mark))) break;
    next += 1;
  }
  return [{ type: "paragraph", text: lines.slice(at, next).map((line) => line.trimStart()).join("\n") }, next];
}

// -- blocks as elements ------------------------------------------------------------------------------------

function render(block) {
  switch (block.type) {
    case "heading":
      // One in a list or a quotation divides nothing.
      return h(block.depth ? `h${block.depth}` : "p", { class: `heading level-${block.level}` }, inline(block.text));
    case "rule":
      return h("hr");
    case "code":
      return code(block);
    case "maths":
      return h("div", { class: "maths", tabindex: "0", role: "group", "aria-label": "Formula" }, block.text);
    case "quote":
      return h("blockquote", {}, block.blocks.map(render));
    case "list":
      return list(block);
    case "table":
      return table(block);
    default:
      return h("p", {}, inline(block.text));
  }
}

function code({ language, text, ended }) {
  const body = h("code", {}, ended ? highlight(text, language) : text);
  return h(
    "figure",
    { class: "code" },
    h("figcaption", {}, h("span", {}, language || "text"), copyButton(() => body.textContent, "Copy the code")),
    h("pre", { tabindex: "0", role: "group", "aria-label": language ? `Code in ${language}` : "Code" }, body),
  );
}

function list({ ordered, from, loose, items }) {
  const rendered = items.map((blocks) => {
    const [first, ...rest] = blocks;
    const task = first?.type === "paragraph" && TASK.exec(first.text);
    const properties = task ? { class: "task" } : {};
    const box = task && h("input", { type: "checkbox", disabled: true, checked: task[1] !== " ", "aria-label": task[1] === " " ? "To do" : "Done" });
    if (task) first.text = first.text.slice(task[0].length);
    return h("li", properties, box, loose ? blocks.map(render) : [first, ...rest].filter(Boolean).map(tight));
  });
  return h(ordered ? "ol" : "ul", { start: ordered && from !== 1 ? String(from) : null }, rendered);
}

function tight(block) {
  return block.type === "paragraph" ? inline(block.text) : render(block);
}

function table({ align, head, rows }) {
  const cell = (tag, text, column) => h(tag, { class: align[column], scope: tag === "th" ? "col" : null }, inline(text ?? ""));
  return h(
    "div",
    { class: "table-box", tabindex: "0", role: "group", "aria-label": "Table" },
    h(
      "table",
      { class: "table" },
      h("thead", {}, h("tr", {}, head.map((text, column) => cell("th", text, column)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, head.map((_, column) => cell("td", row[column], column))))),
    ),
  );
}

// -- text --------------------------------------------------------------------------------------------------

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}\p{S}]/u;
const SPACE = /\s/;

// What a text is cut at; each alternative ends where it is certain, so that no text takes long.
const TOKEN = new RegExp(
  [
    "(?<escape>\\\\[!-/:-@[-`{-~])",
    "(?<ticks>`+)",
    "(?<run>\\*+|_+|~~)",
    "(?<image>!\\[)",
    "(?<open>\\[)",
    "(?<close>\\])",
    "(?<auto><(?:https?://|mailto:)[^\\s<>]{1,2000}>)",
    "(?<bare>https?://[^\\s<>`|]{1,2000})",
    "(?<break><br ?/?>|\\\\\\n| {2,8}\\n)",
    "(?<entity>&(?:amp|lt|gt|quot|apos|nbsp|#\\d{1,7}|#x[\\da-fA-F]{1,6});)",
    "(?<dollar>\\$+)",
  ].join("|"),
  "gu",
);

/** The nodes of a text with its emphasis, code, links and formulas. */
export function inline(text) {
  const items = [];
  const brackets = [];
  const closing = new Map();
  let at = 0;
  TOKEN.lastIndex = 0;
  const plain = (end) => end > at && items.push(text.slice(at, end));
  for (let match = TOKEN.exec(text); match; match = TOKEN.exec(text)) {
    plain(match.index);
    at = match.index;
    const [found] = match;
    const kind = match.groups;
    let end = at + found.length;
    if (kind.escape) {
      const maths = found === "\\(" ? text.slice(end, end + 1000).indexOf("\\)") + end : -1;
      if (maths >= end) {
        items.push(h("span", { class: "maths" }, text.slice(end, maths).trim()));
        end = maths + 2;
      } else items.push(found[1]);
    } else if (kind.ticks) {
      const close = ticksAfter(text, end, found, closing);
      if (close < 0) items.push(found);
      else {
        const inside = text.slice(end, close).replaceAll("\n", " ");
        items.push(h("code", {}, /^ .*[^ ].* $/.test(inside) ? inside.slice(1, -1) : inside));
        end = close + found.length;
      }
    } else if (kind.run) items.push(delimiter(text, at, found));
    else if (kind.image || kind.open) {
      brackets.push({ index: items.length, end });
      items.push(found);
    } else if (kind.close) {
      const bracket = brackets.pop();
      const target = bracket && LINK.exec(text.slice(end, end + 2100));
      if (!target) items.push(found);
      else {
        const label = emphasised(items.splice(bracket.index).slice(1));
        items.push(link(target[1] ?? target[2], label));
        end += target[0].length;
        // No link is in another one.
        brackets.length = 0;
      }
    } else if (kind.auto) items.push(link(found.slice(1, -1), [found.slice(1, -1)]));
    else if (kind.bare) {
      const address = trimmed(found);
      items.push(brackets.length ? address : link(address, [address]));
      end = at + address.length;
    } else if (kind.break) items.push(h("br"));
    else if (kind.entity) items.push(entity(found));
    else if (kind.dollar) {
      const close = dollarAfter(text, end, found);
      if (close < 0) items.push(found);
      else {
        items.push(h("span", { class: "maths" }, text.slice(end, close).trim()));
        end = close + found.length;
      }
    }
    at = end;
    TOKEN.lastIndex = end;
  }
  plain(text.length);
  return emphasised(items);
}

const LINK = /^\(\s*(?:<([^<>\n]{0,2000})>|([^\s()]{0,2000}(?:\([^\s()]{0,500}\)[^\s()]{0,500}){0,3}))(?:\s+(?:"[^"]{0,500}"|'[^']{0,500}'))?\s*\)/;

/** A link that leads out of the page without telling where from; where it may not lead, its label alone. */
function link(address, label) {
  let target;
  try {
    target = new URL(address);
  } catch {
    return h("span", {}, label);
  }
  if (!["http:", "https:", "mailto:"].includes(target.protocol)) return h("span", {}, label);
  return h("a", { href: target.href, target: "_blank", rel: "noopener noreferrer nofollow", title: target.href }, label.length ? label : target.href);
}

/** An address in a text without the punctuation behind it. */
function trimmed(address) {
  let unopened = address.split(")").length - address.split("(").length;
  let end = address.length;
  while (end > 8) {
    const last = address[end - 1];
    if (last === ")" && unopened > 0) unopened -= 1;
    else if (!".,;:!?'\"*_~]".includes(last)) break;
    end -= 1;
  }
  return address.slice(0, end);
}

function entity(found) {
  const name = found.slice(1, -1);
  if (name in ENTITIES) return ENTITIES[name];
  const point = name[1] === "x" ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
  return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
}

/** Where a run of exactly as many backticks follows, or -1. What is known to be missing is not looked for again. */
function ticksAfter(text, from, ticks, closing) {
  if (closing.get(ticks.length) === -1) return -1;
  const run = /`+/g;
  run.lastIndex = from;
  for (let match = run.exec(text); match; match = run.exec(text)) {
    if (match[0].length === ticks.length) return match.index;
  }
  closing.set(ticks.length, -1);
  return -1;
}

/** Where a formula ends that begins with dollars; sums of money begin none. */
function dollarAfter(text, from, dollars) {
  if (dollars.length > 2) return -1;
  if (dollars.length === 1 && (SPACE.test(text[from] ?? " ") || /\d/.test(text[from] ?? ""))) return -1;
  const limit = text.slice(from, from + 1000);
  const end = limit.search(dollars.length === 2 ? /\$\$/ : /[^\s\\]\$(?!\d)/);
  if (end < 0) return -1;
  return from + end + (dollars.length === 2 ? 0 : 1);
}

/** Source: CommonMark 0.31, "Emphasis and strong emphasis": left- and right-flanking runs. */
function delimiter(text, at, run) {
  const before = text[at - 1] ?? " ";
  const after = text[at + run.length] ?? " ";
  const left = !SPACE.test(after) && (!PUNCTUATION.test(after) || SPACE.test(before) || PUNCTUATION.test(before));
  const right = !SPACE.test(before) && (!PUNCTUATION.test(before) || SPACE.test(after) || PUNCTUATION.test(after));
  const inWords = run[0] !== "_";
  return {
    mark: run[0],
    count: run.length,
    opens: left && (inWords || !right || PUNCTUATION.test(before)),
    closes: right && (inWords || !left || PUNCTUATION.test(after)),
  };
}

/** The nodes of `items`, in which delimiters that belong together have become elements. */
function emphasised(items) {
  const out = [];
  const openers = { "*": [], _: [], "~": [] };
  for (const item of items) {
    if (!item.mark) {
      out.push(item);
      continue;
    }
    const waiting = openers[item.mark];
    while (item.closes && item.count > 0 && waiting.length) {
      const index = waiting.at(-1);
      const opener = out[index];
      const both = opener.closes || item.opens;
      if (both && (opener.count + item.count) % 3 === 0 && opener.count % 3 !== 0) break;
      const used = opener.count >= 2 && item.count >= 2 ? 2 : 1;
      if (item.mark === "~" && used < 2) break;
      const inside = out.splice(index + 1).map(asText);
      const tag = item.mark === "~" ? "del" : used === 2 ? "strong" : "em";
      opener.count -= used;
      item.count -= used;
      for (const stack of Object.values(openers)) while (stack.length && stack.at(-1) > index) stack.pop();
      if (opener.count === 0) {
        out.pop();
        waiting.pop();
      }
      out.push(h(tag, {}, inside));
    }
    if (item.count > 0) {
      if (item.opens && openers[item.mark].length < MAX_OPEN) openers[item.mark].push(out.length);
      out.push(item);
    }
  }
  return out.map(asText);
}

function asText(item) {
  return item.mark ? item.mark.repeat(item.count) : item;
}
