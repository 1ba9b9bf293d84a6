// The gateway, as the views of the page talk to it.

/** Where the gateway is: what holds /ui, with whatever prefix a proxy adds. */
export const BASE = new URL("../", import.meta.url);

const KEY = "gptoss.key";

/** What is said where the gateway cannot be reached at all. */
const UNREACHABLE = "The gateway cannot be reached. Is it still running?";

/** A failure that the gateway tells: `message` says what to do, `retryAfter` is in seconds or null. */
export class ApiError extends Error {
  constructor(message, { status = 0, type = null, code = null, param = null, retryAfter = null, requestId = null } = {}) {
    super(message);
    this.name = "ApiError";
    Object.assign(this, { status, type, code, param, retryAfter, requestId });
  }

  /** Whether it is the gateway that wants a key, or another one; not a login that expired behind it. */
  get wantsKey() {
    return this.status === 401 && this.type === "invalid_request_error";
  }
}

export class Api {
  /** Asks the person for a key, told why; resolves to whether one was given. Set by the shell. */
  askForKey = async () => false;

  #key = read(sessionStorage) ?? read(localStorage);

  /** The full address of a path of the gateway, as in `api.url("v1")` for clients to paste. */
  url(path = "") {
    return new URL(path.replace(/^\/+/, ""), BASE).href;
  }

  get hasKey() {
    return Boolean(this.#key);
  }

  /** Uses `key` from now on; it stays until the tab closes, or where `remember` in this browser. */
  useKey(key, remember) {
    this.forgetKey();
    this.#key = key;
    write(remember ? localStorage : sessionStorage, key);
    dispatchEvent(new Event("gptoss:key"));
  }

  forgetKey() {
    this.#key = null;
    write(sessionStorage, null);
    write(localStorage, null);
  }

  /**
   * Asks the gateway and gives the answer's Response once its status is good.
   *
   * `body` is sent as JSON. Where a key is wanted the person is asked for one and the request made again,
   * unless `ask` is false. Throws an ApiError for every failure, and an AbortError where `signal` says so.
   */
  async fetch(path, { method = "GET", body, signal, ask = true } = {}) {
    const headers = { accept: "application/json" };
    if (body !== undefined) headers["content-type"] = "application/json";
    if (this.#key) headers.authorization = `Bearer ${this.#key}`;
    const used = this.#key;
    let response;
    try {
      response = await fetch(this.url(path), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        cache: "no-store",
        credentials: "same-origin",
        referrerPolicy: "no-referrer",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(UNREACHABLE, { code: "unreachable" });
    }
    if (response.ok) return response;
    const error = await failure(response);
    // Several requests at once ask for one key only.
    if (ask && error.wantsKey && (this.#key !== used || (await this.askForKey(error.message)))) {
      return this.fetch(path, { method, body, signal, ask });
    }
    throw error;
  }

  /** Asks the gateway and gives the answer's JSON. Takes and throws what `fetch` does. */
  async json(path, options) {
    const response = await this.fetch(path, options);
    return response.json();
  }
}

/** The ApiError that an answer with a bad status is. */
async function failure(response) {
  const told = await response.json().catch(() => null);
  const error = told?.error ?? {};
  const wait = Number(response.headers.get("retry-after"));
  return new ApiError(error.message ?? `The gateway answered with status ${response.status}.`, {
    status: response.status,
    type: error.type,
    code: error.code,
    param: error.param,
    retryAfter: wait > 0 ? wait : null,
    requestId: response.headers.get("x-request-id"),
  });
}

// Browsers that keep nothing throw.
function read(storage) {
  try {
    return storage.getItem(KEY);
  } catch {
    return null;
  }
}

function write(storage, key) {
  try {
    if (key === null) storage.removeItem(KEY);
    else storage.setItem(KEY, key);
  } catch {
    // It is asked for again after a reload.
  }
}
