/* How the page asks the API. */

const API = new URL("v1/", document.baseURI);

/** Where the tab keeps the key that was pasted into it. */
export const KEY = "recommend-key";

/** What the API refused, as problem details (RFC 9457). */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail);
    Object.assign(this, { status, title: problem.title, errors: problem.errors ?? [] });
  }
}

/** A function that asks the API; while it waits, asking again gives up what it asked before. */
export function line() {
  let waiting = new AbortController();
  return async (path, body) => {
    waiting.abort();
    waiting = new AbortController();
    const headers = body ? { "Content-Type": "application/json" } : {};
    const key = sessionStorage.getItem(KEY);
    if (key) headers.Authorization = `Bearer ${key}`;
    const request = { method: body ? "POST" : "GET", headers, body: JSON.stringify(body), signal: waiting.signal };
    let response;
    try {
      response = await fetch(new URL(path, API), request);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(0, { detail: "The service does not answer: see whether it runs, then try again." });
    }
    const sent = (response.headers.get("Content-Type") ?? "").includes("json") ? await response.json() : null;
    if (response.ok) return sent;
    throw new Refusal(response.status, sent ?? { detail: `The service answered ${response.status}: see its log.` });
  };
}
