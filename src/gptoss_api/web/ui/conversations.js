// Conversations, kept in this browser and nowhere else: IndexedDB, or memory where it keeps nothing.

const NAME = "gptoss";
const BODIES = "conversations";
const HEADS = "titles";

/** Tells the other tabs of this browser that the list changed. */
const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("gptoss.conversations") : null;
const memory = new Map();
let opened;

function database() {
  opened ??= new Promise((resolve) => {
    let request;
    try {
      request = indexedDB.open(NAME, 1);
    } catch {
      resolve(null);
      return;
    }
    request.onupgradeneeded = () => {
      request.result.createObjectStore(BODIES, { keyPath: "id" });
      request.result.createObjectStore(HEADS, { keyPath: "id" });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
    request.onblocked = () => resolve(null);
  });
  return opened;
}

/** Does `work` with the two stores and resolves, once it is kept, to what it asked for. Rejects when it cannot be. */
async function kept(mode, work) {
  const db = await database();
  if (!db) return null;
  return new Promise((resolve, reject) => {
    const transaction = db.transaction([BODIES, HEADS], mode);
    const request = work(transaction.objectStore(BODIES), transaction.objectStore(HEADS));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

/** Whether what is said survives a reload. */
export async function persistent() {
  return Boolean(await database());
}

/** The conversations without their messages, the newest first. */
export async function list() {
  const found = ((await kept("readonly", (bodies, heads) => heads.getAll())) ?? []).filter(({ id }) => !memory.has(id));
  return [...found, ...[...memory.values()].map(head)].sort((a, b) => b.updated - a.updated);
}

/** The conversation with this id, or undefined. */
export async function load(id) {
  return memory.get(id) ?? (await kept("readonly", (bodies) => bodies.get(id))) ?? undefined;
}

/**
 * Keeps `conversation`: {id, title, created, updated, model, effort, system, tools, messages}.
 *
 * Where the browser refuses, for want of space for one, it stays in this tab's memory.
 */
export async function save(conversation) {
  memory.set(conversation.id, conversation);
  if (!(await persistent())) return;
  try {
    await kept("readwrite", (bodies, heads) => {
      bodies.put(conversation);
      heads.put(head(conversation));
    });
  } catch {
    return;
  }
  memory.delete(conversation.id);
  channel?.postMessage("changed");
}

export async function remove(id) {
  memory.delete(id);
  await kept("readwrite", (bodies, heads) => {
    bodies.delete(id);
    heads.delete(id);
  });
  channel?.postMessage("changed");
}

export async function removeAll() {
  memory.clear();
  await kept("readwrite", (bodies, heads) => {
    bodies.clear();
    heads.clear();
  });
  channel?.postMessage("changed");
}

/** Calls `listener` when another tab changed something; what is returned ends that. */
export function follow(listener) {
  channel?.addEventListener("message", listener);
  return () => channel?.removeEventListener("message", listener);
}

function head({ id, title, created, updated }) {
  return { id, title, created, updated };
}
