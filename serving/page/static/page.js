/* Asks the API under v1/ and shows its answers. Every request is a dry run. What comes from the API goes into the
   document as text only: ids are other people's words. */

import { KEY, Refusal, line } from "./api.js";
import { combobox } from "./combobox.js";
import { bar, fact, greatest, make, number, reasonTable, table } from "./markup.js";

const PATIENCE_MS = 5000; // a person has more of it than a program, and wants to see the best answer
const FIELDS = ["recommender", "variant", "query", "limit", "workspace", "candidate"];

const at = (id) => document.getElementById(id);
const lines = { recommenders: line(), answer: line(), verdict: line() };
let recommenders = [];

/* Problems: next to the field that they name, else in a line of their own. */

function complain(error, pointed = {}) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Refusal)) throw error;
  const elsewhere = [];
  for (const { pointer, detail } of error.errors) {
    const name = pointer.split("/")[1];
    const field = pointed[name] ?? name;
    if (FIELDS.includes(field)) mark(field, detail);
    else elsewhere.push(`${pointer}: ${detail}`);
  }
  if ([401, 403].includes(error.status)) askForKey(`${error.title}: ${error.message}`);
  else if (!error.errors.length) elsewhere.push(error.message);
  if (elsewhere.length) notice(elsewhere.join("; "));
}

function mark(field, detail) {
  at(`${field}-error`).textContent = detail;
  at(field).ariaInvalid = detail ? "true" : "false";
  if (field === "workspace" && detail) at("workspace-field").hidden = false;
}

function notice(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

function forgive() {
  notice("");
  FIELDS.forEach((field) => mark(field, ""));
}

/* The key, of this tab alone. */

function askForKey(why) {
  at("key-form").hidden = false;
  at("forget").hidden = sessionStorage.getItem(KEY) === null;
  at("key-error").textContent = why;
  if (document.activeElement === document.body) at("key").focus();
}

at("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = at("key").value.trim();
  if (!/^[!-~]+$/.test(key)) return askForKey("This is no key: paste it as `recommend keys add` printed it");
  sessionStorage.setItem(KEY, key);
  at("key").value = "";
  at("key-error").textContent = "";
  at("key-form").hidden = true;
  at("recommender").focus();
  await start();
});

at("forget").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  askForKey("");
});

/* What is asked. */

const chosen = () => recommenders.find(({ name }) => name === at("recommender").value);

function wish() {
  const { name, query_key } = chosen();
  return {
    recommender: name,
    query: { [query_key]: at("query").value },
    limit: at("limit").valueAsNumber,
    ...(at("variant").value && { variant: at("variant").value }),
    ...(at("workspace").value && { workspace: at("workspace").value }),
    deadline_ms: PATIENCE_MS,
    dry_run: true,
    explain: true,
  };
}

async function start() {
  try {
    ({ recommenders } = await lines.recommenders("recommenders"));
  } catch (error) {
    return complain(error);
  }
  const before = at("recommender").value;
  at("recommender").replaceChildren(...recommenders.map(({ name }) => new Option(name)));
  if (recommenders.some(({ name }) => name === before)) at("recommender").value = before;
  choose();
  if (at("query").value) await search();
}

/** Lay out what depends on the recommender; an id stays where the other asks by the same key. */
function choose() {
  const { description, query_key, candidate_key, variants } = chosen();
  at("recommender-hint").textContent = description;
  at("variant").replaceChildren(
    new Option("as assigned", ""),
    ...variants.map(({ name, shadow }) => new Option(shadow ? `${name} (shadow)` : name, name)),
  );
  for (const [field, key] of [["query", query_key], ["candidate", candidate_key]]) {
    if (at(`${field}-key`).textContent !== key) at(field).value = "";
    at(`${field}-key`).textContent = key;
  }
  describeVariant();
  clearVerdict();
}

function describeVariant() {
  const variant = chosen().variants.find(({ name }) => name === at("variant").value);
  const { experiment } = chosen();
  const assigned = experiment ? `by the experiment ${experiment}` : "the champion: no experiment runs";
  at("variant-hint").textContent = variant ? `${variant.rung}, ${variant.model_version}` : assigned;
}

/* The answer. */

async function search() {
  if (!chosen()) return start();
  forgive();
  at("items").ariaBusy = "true";
  try {
    showAnswer(await lines.answer("recommend", wish()));
  } catch (error) {
    if (error.name === "AbortError") return;
    showNothing();
    return complain(error);
  }
  if (at("verdict").hasChildNodes()) await explain();
}

function showNothing() {
  at("summary").textContent = "No answer.";
  at("facts").replaceChildren();
  at("items").replaceChildren();
  at("items").ariaBusy = "false";
  clearVerdict();
}

function showAnswer(answer) {
  const { items } = answer;
  at("summary").textContent = items.length
    ? `${items.length} for ${at("query").value}. Open one for its reasons.`
    : "Nothing to recommend: no candidate was left.";
  at("facts").replaceChildren(...facts(answer));
  const scale = greatest(items.flatMap(({ reasons }) => reasons));
  at("items").replaceChildren(...items.map((item) => row(item, scale, answer.rung)));
  at("items").ariaBusy = "false";
}

function facts(answer) {
  const stages = Object.entries(answer.timings_ms);
  const total = stages.reduce((sum, [, milliseconds]) => sum + milliseconds, 0);
  return [
    fact("rung", answer.rung),
    fact("model", answer.model_version),
    fact("variant", answer.experiment ? `${answer.experiment} / ${answer.variant}` : answer.variant),
    answer.degraded && fact("degraded", "yes", "warned"),
    answer.warnings.length && fact("warnings", answer.warnings.join(", "), "warned"),
    fact("time", `${total.toFixed(1)} ms`),
    fact("stages", stages.map(([stage, milliseconds]) => `${stage}\u00a0${milliseconds.toFixed(2)}`).join(" · ") || "none"),
  ].filter(Boolean);
}

function row({ id, rank, score, propensity, sources, reasons, why }, scale, rung) {
  const summary = make("summary", "",
    make("span", "rank", String(rank)),
    make("span", "id", id),
    make("span", "sources", ...sources.map((source) => make("span", "source", source))),
    make("span", "score", score.toFixed(3)),
    make("span", "why", why),
  );
  const bare = rung === "popularity" ? "From the popular list, which no feature ranks." : "No feature raised its score.";
  const details = make("details", "", summary);
  details.append(reasons.length ? reasonTable("What raised its score", reasons, scale) : make("p", "quiet", bare));
  if (propensity < 1) details.append(make("p", "quiet", `Explored: it stands here with probability ${number(propensity)}.`));
  return make("li", "", details);
}

/* Why not? */

async function explain() {
  if (!chosen()) return start();
  forgive();
  try {
    showVerdict(await lines.verdict("explain", { ...wish(), candidate: at("candidate").value }));
  } catch (error) {
    if (error.name === "AbortError") return;
    clearVerdict();
    complain(error);
  }
}

function clearVerdict() {
  at("verdict").replaceChildren();
  at("why-not-hint").hidden = false;
}

function showVerdict({ verdict, detail, rank, score, sources, rung, model_version, reasons, beaten_by, stages }) {
  at("why-not-hint").hidden = true;
  const ahead = beaten_by?.ahead_by ?? [];
  const scale = greatest([...reasons, ...ahead]);
  const most = Math.max(1, ...stages.map(({ candidates }) => candidates));
  const counts = stages.map(({ stage, candidates }) => [
    make("th", "", stage, bar(candidates / most)),
    make("td", "", String(candidates)),
  ]);
  const parts = [
    make("p", verdict === "shown" ? "verdict good" : "verdict", verdict),
    make("p", "", detail),
    make("dl", "facts",
      rank !== null && fact("rank", String(rank)),
      score !== null && fact("score", score.toFixed(3)),
      fact("sources", sources.join(", ") || "none"),
      fact("ranked by", `${rung} ${model_version}`),
    ),
    beaten_by && make("h3", "", "Behind ", make("span", "id", beaten_by.id)),
    beaten_by && make("p", "quiet", `The last one shown: rank ${beaten_by.rank}, score ${beaten_by.score.toFixed(3)}.`),
    ahead.length && reasonTable(`Where ${beaten_by.id} is ahead; values of ${at("candidate").value}`, ahead, scale),
    reasons.length && reasonTable("What raised this candidate’s score", reasons, scale),
    stages.length && table("Candidates left after each stage", ["stage", "candidates"], counts),
  ];
  at("verdict").replaceChildren(...parts.filter(Boolean));
}

/* Suggestions of ids. */

function suggest(field, kind, picked) {
  const ask = line();
  const find = async (prefix) => {
    if (!chosen()) return [];
    const asked = { recommender: chosen().name, kind, prefix };
    if (at("workspace").value) asked.workspace = at("workspace").value;
    return (await ask(`ids?${new URLSearchParams(asked)}`)).ids;
  };
  const failed = (error) => complain(error, { prefix: field });
  combobox(at(field), at(`${field}-list`), { find, picked, failed });
  at(field).addEventListener("input", () => mark(field, ""));
}

suggest("query", "query", search);
suggest("candidate", "candidate", explain);

for (const [form, answer] of [["search", search], ["explain", explain]]) {
  at(form).addEventListener("submit", (event) => {
    event.preventDefault();
    answer();
  });
}
const again = () => at("query").value && search();
at("recommender").addEventListener("change", () => {
  choose();
  again();
});
at("variant").addEventListener("change", () => {
  describeVariant();
  again();
});
at("limit").addEventListener("change", again);
at("workspace").addEventListener("change", again);

await start();
