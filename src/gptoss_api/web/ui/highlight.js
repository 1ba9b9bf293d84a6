// Colours in code: comments, strings, numbers and the words of common languages. Not a parser of any of them.

const MAX_LENGTH = 50_000;

const WORDS = new Set(
  `abstract and as assert async await bool boolean break case catch char class const constexpr continue
  def default defer del delete do double elif else elsif enum except export extends extern false
  finally float fn for from func function goto if impl implements import in instanceof int
  interface is lambda let mut namespace new nil nonlocal not null operator or override package pass private
  protected pub public raise readonly rescue return self sizeof static struct super switch this throw
  throws trait true try typedef typeof undefined unless unsafe unsigned until using val var virtual void
  volatile while with yield None True False`.split(/\s+/),
);
const SQL = new Set(
  `add all alter and as asc avg begin between by case check column commit constraint count create cross cte
  default delete desc distinct drop else end exists foreign from full group having if in index inner insert
  into is join key left like limit max min not null offset on or order outer primary references returning
  right rollback select set sum table then union unique update using values view when where with`.split(/\s+/),
);

const HASH = "#[^\\n]*";
const SLASHES = "//[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$)";
const COMMENTS = new Map();
for (const name of ["python", "py", "ruby", "rb", "bash", "sh", "shell", "zsh", "console", "yaml", "yml", "toml", "ini", "r", "perl", "make", "makefile", "dockerfile", "elixir", "nix", "conf"]) COMMENTS.set(name, HASH);
for (const name of ["sql", "lua", "haskell", "hs", "ada"]) COMMENTS.set(name, "--[^\\n]*");
for (const name of ["html", "xml", "svg"]) COMMENTS.set(name, "<!--[\\s\\S]*?(?:-->|$)");
const PLAIN = new Set(["", "text", "txt", "plain", "plaintext", "output", "diff", "markdown", "md"]);

/** The nodes of `code`; in a language that is not known as plain text. */
export function highlight(code, language) {
  if (PLAIN.has(language) || code.length > MAX_LENGTH) return [code];
  const words = language === "sql" ? SQL : WORDS;
  const markup = language === "html" || language === "xml" || language === "svg";
  const token = new RegExp(
    [
      `(?<comment>${COMMENTS.get(language) ?? SLASHES})`,
      `(?<string>"""[\\s\\S]*?(?:"""|$)|'''[\\s\\S]*?(?:'''|$)|"(?:[^"\\\\\\n]|\\\\.)*"?|'(?:[^'\\\\\\n]|\\\\.)*'|\`(?:[^\`\\\\]|\\\\[\\s\\S])*\`?)`,
      markup ? "(?<keyword></?[A-Za-z][\\w:-]*|/?>)" : "(?<number>\\b(?:0[xX][\\da-fA-F_]+|\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)\\b)",
      "(?<word>[A-Za-z_$][\\w$]*)",
    ].join("|"),
    "g",
  );
  const nodes = [];
  let at = 0;
  for (const match of code.matchAll(token)) {
    const kind = kindOf(match, words, language);
    if (!kind) continue;
    nodes.push(code.slice(at, match.index), coloured(kind, match[0]));
    at = match.index + match[0].length;
  }
  nodes.push(code.slice(at));
  return nodes;
}

function kindOf({ groups }, words, language) {
  if (groups.comment) return "comment";
  if (groups.string) return "string";
  if (groups.number) return "number";
  if (groups.keyword) return "keyword";
  if (groups.word && words.has(language === "sql" ? groups.word.toLowerCase() : groups.word)) return "keyword";
  return null;
}

function coloured(kind, text) {
  const span = document.createElement("span");
  span.className = `code-${kind}`;
  span.textContent = text;
  return span;
}
