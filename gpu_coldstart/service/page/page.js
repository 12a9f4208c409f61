// All that the newcomer says and does stays here, and goes to the service with every question.

const LENGTH = 20; // of the list
const OFFERED = { artist: 10, track: 5 }; // of those found
const MOST_REASONS = 6; // of a kind
const DELAY_MS = 150; // after a key, before a search begins
const DONE = { stream: "Played", skip: "Skipped", ban: "Banned" };
const VERBS = { stream: "Play", skip: "Skip", ban: "Ban" };

const $ = (id) => document.getElementById(id);
const artists = new Map(); // chosen: id to name
let events = []; // of tracks, oldest first: { action, id, name }
let model = { n_tracks: LENGTH };
let ranks = null; // in the list before: id to rank
let key = "";

// -- asking the service -----------------------------------------------------------------------

// Integers that JavaScript would round become text, which stands for the same id.
const exact = (_, value, context) =>
  Number.isInteger(value) && !Number.isSafeInteger(value) && context ? context.source : value;

async function ask(path, signal, body) {
  const headers = { ...(key && { authorization: `Bearer ${key}` }) };
  if (body) headers["content-type"] = "application/json";
  const options = { method: body ? "POST" : "GET", headers, signal, body: JSON.stringify(body) };
  let response, answer;
  try {
    response = await fetch(path, options);
    answer = JSON.parse(await response.text(), exact);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error("the service does not answer");
  }
  if (response.status === 401) $("key").hidden = false;
  if (!response.ok) throw new Error(answer.error ?? `the service answers ${response.status}`);
  return answer;
}

// Calls of the function it returns end those before, whose answers would come too late.
function latest(work) {
  let current = new AbortController();
  let complaint = "";
  return async (...given) => {
    current.abort();
    const { signal } = (current = new AbortController());
    try {
      await work(signal, ...given);
      if (!signal.aborted && $("error").textContent === complaint) $("error").textContent = "";
    } catch (error) {
      if (!signal.aborted) $("error").textContent = complaint = asSentence(error.message);
    }
  };
}

const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);
const asSentence = (text) => `${capital(text)}.`.replace(/\.+$/, ".");

const refresh = latest(async (signal) => {
  const list = $("tracks");
  list.ariaBusy = "true";
  try {
    const answer = await ask("v1/recommendations", signal, question());
    showList(answer);
    showReasons(answer.reasons);
  } finally {
    if (!signal.aborted) list.ariaBusy = "false";
  }
});

function question() {
  const age = $("age");
  if (!age.checkValidity()) throw new Error("the age is no whole number from 0 to 130");
  const did = events.map(({ action, id }) => ({ action, entity: "track", id }));
  const liked = [...artists.keys()].map((id) => ({ action: "onboarding", entity: "artist", id }));
  const played = events.filter(({ action }) => action === "stream").map(({ id }) => id);
  const left = $("seen").checked ? new Set(played).size : 0; // out
  return {
    age: age.value === "" ? null : age.valueAsNumber,
    country: $("country").value.trim() || null,
    events: [...liked, ...did],
    k: Math.max(1, Math.min(LENGTH, model.n_tracks - left)),
    strategy: $("strategy").value || null,
    exclude_seen: $("seen").checked,
    explain: true,
  };
}

// -- elements ---------------------------------------------------------------------------------

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function button(text, label, onclick, className = "") {
  return element("button", { type: "button", className, ariaLabel: label, onclick }, text);
}

const called = (name, id, kind) => name ?? `${kind} ${id}`;

// Put rows into a list; whoever was on a button in it stays there, or at the same place.
function fill(list, rows, otherwise) {
  const at = list.contains(document.activeElement) ? document.activeElement : null;
  const row = at && [...list.children].find((child) => child.contains(at));
  const place = row && [...list.children].indexOf(row);
  const column = row && [...row.querySelectorAll("button")].indexOf(at);
  list.replaceChildren(...rows);
  if (!row) return;
  const same = rows.find((each) => each.dataset.id === row.dataset.id);
  const next = same ?? rows[Math.min(place, rows.length - 1)];
  (next?.querySelectorAll("button")[column] ?? otherwise).focus();
}

// -- what is shown ----------------------------------------------------------------------------

function trackRow(id, title, artist, ...more) {
  const name = called(title, id, "Track");
  const words = element("div", { className: "words" }, element("strong", {}, name));
  if (artist) words.append(element("span", { className: "by" }, artist));
  const done = events.findLast((event) => event.id === id);
  if (done) words.append(element("span", { className: "by" }, DONE[done.action]));
  const buttons = Object.keys(VERBS).map((action) =>
    button(VERBS[action], `${VERBS[action]} ${name}`, () => act(action, id, name), action),
  );
  const row = element("li", {}, words, ...more, element("div", { className: "do" }, ...buttons));
  row.dataset.id = `${typeof id} ${id}`;
  return row;
}

function movement(id, rank) {
  const before = ranks?.get(id);
  if (!ranks || before === rank) return "";
  if (before === undefined) return element("span", { className: "move new" }, "new");
  const up = before > rank;
  const text = `${up ? "▲" : "▼"} ${Math.abs(before - rank)}`;
  const label = `${up ? "up" : "down"} ${Math.abs(before - rank)}`;
  return element("span", { className: "move", role: "img", ariaLabel: label }, text);
}

function showList({ tracks, segment, description, notes }) {
  const rows = tracks.map(({ id, title, artist_name }, place) =>
    trackRow(id, title, artist_name, movement(id, place + 1)),
  );
  fill($("tracks"), rows, $("list"));
  const fresh = tracks.filter(({ id }) => !ranks?.has(id)).length;
  $("status").textContent = ranks
    ? `The list has changed: ${fresh} of ${tracks.length} tracks are new.`
    : `${tracks.length} tracks.`;
  ranks = new Map(tracks.map(({ id }, place) => [id, place + 1]));
  $("segment").replaceChildren(
    element("strong", {}, capital(description)),
    `Segment ${segment} is nearest to you so far.`,
  );
  $("notes").replaceChildren(...notes.map((note) => element("li", {}, note)));
}

const plain = (signal) =>
  signal === "onboarding_like_artists" ? "artists you like" : signal.replaceAll("_", " ");
const PARTS = {
  expert: (name) => `strategy ${name}`,
  popularity: () => "how popular they are",
  signal: (name) => `your ${plain(name)}`,
};

function showReasons(reasons) {
  const { segments = [], parts = [], signals = [] } = reasons ?? {};
  const groups = [
    // One alone is that which is named above the list.
    ["The listeners they come from", segments.length > 1 ? segments : [], (each) => each.description],
    ["What lifts them above other tracks", parts, ({ kind, name }) => PARTS[kind]?.(name) ?? name],
    ["What was noticed about you", signals, (each) => plain(each.signal)],
  ];
  const shown = groups.flatMap(([title, rows, name]) => {
    const bars = rows.filter(({ share }) => Math.abs(share) >= 0.005).slice(0, MOST_REASONS);
    const list = bars.map((each) => bar(name(each), each.share));
    return list.length ? [element("h3", {}, title), element("ul", { className: "bars" }, ...list)] : [];
  });
  const none = element("p", { className: "note" }, "There is too little to go by yet.");
  $("reasons").replaceChildren(...(shown.length ? shown : [none]));
}

function bar(name, share) {
  const full = element("span", { className: "full", ariaHidden: "true" });
  full.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  const number = `${(100 * share).toFixed(0)} %`.replace("-", "−");
  return element("li", {}, element("span", {}, name), element("span", {}, number), full);
}

function showEvents() {
  const rows = events.map((event) => {
    const text = `${DONE[event.action]} ${event.name}`;
    const undo = () => change(() => (events = events.filter((each) => each !== event)));
    const row = element("li", {}, element("span", {}, text), button("Undo", `Undo: ${text}`, undo));
    row.dataset.id = event.number;
    return row;
  });
  fill($("events"), rows.reverse(), $("done-title"));
  $("nothing").hidden = events.length > 0;
  $("reset").hidden = !events.length && !artists.size;
}

// -- what is done -----------------------------------------------------------------------------

function change(how) {
  how();
  showEvents();
  showFound();
  return refresh();
}

let number = 0;
function act(action, id, name) {
  number += 1;
  return change(() => events.push({ action, id, name, number }));
}

function artistRow(id, name) {
  const pressed = artists.has(id);
  const toggle = () => {
    change(() => (pressed ? artists.delete(id) : artists.set(id, name)));
    showArtists();
  };
  const chip = element("button", { type: "button", onclick: toggle, ariaPressed: `${pressed}` }, name);
  const row = element("li", {}, chip);
  row.dataset.id = `${typeof id} ${id}`;
  return row;
}

let offered = []; // artists found
function showArtists() {
  const others = offered.filter(({ id }) => !artists.has(id));
  const rows = [...artists].map(([id, name]) => artistRow(id, name));
  rows.push(...others.map(({ id, name }) => artistRow(id, called(name, id, "Artist"))));
  fill($("artists"), rows, $("artist"));
}

// Search while the newcomer types.
function finder(kind, show, always) {
  const input = $(kind);
  const find = latest(async (signal) => {
    const q = input.value.trim();
    const asked = new URLSearchParams({ kind, q, limit: OFFERED[kind] });
    const { found } = q || always ? await ask(`v1/search?${asked}`, signal) : { found: [] };
    show(found);
    const many = `${found.length} ${kind}${found.length === 1 ? "" : "s"} found.`;
    $(`${kind}-note`).textContent = q && (found.length ? many : `No ${kind} of that name.`);
  });
  let timer;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(find, DELAY_MS);
  });
  return find;
}

const findArtists = finder("artist", (found) => {
  offered = found;
  showArtists();
}, true);

let found = []; // tracks
function showFound() {
  fill($("found"), found.map(({ id, name }) => trackRow(id, name)), $("track"));
}

finder("track", (these) => {
  found = these;
  showFound();
});

// -- the beginning ----------------------------------------------------------------------------

function countryList(codes) {
  const names = new Intl.DisplayNames(["en"], { type: "region", fallback: "code" });
  const name = (code) => (/^[A-Z]{2}$/.test(code) ? names.of(code) : code);
  const sorted = [...codes].sort((a, b) => name(a).localeCompare(name(b)));
  const options = sorted.map((code) => new Option(name(code), code));
  const list = element("select", { id: "country" }, new Option("I'd rather not say", ""), ...options);
  list.addEventListener("change", refresh);
  $("country").replaceWith(list);
}

const begin = latest(async (signal) => {
  model = await ask("v1/model", signal);
  if (model.about.countries?.length) countryList(model.about.countries);
  $("strategy").replaceChildren(...model.strategies.map((each) => new Option(each, each)));
  $("strategy").value = model.default;
  const fitted = model.about.fitted_at ? `, fitted on ${model.about.fitted_at.slice(0, 10)}` : "";
  $("about").textContent =
    `Model ${model.version}${fitted}: ${model.n_tracks.toLocaleString("en")} tracks.`;
  await Promise.all([findArtists(), refresh()]);
});

for (const id of ["age", "country", "strategy", "seen"]) $(id).addEventListener("change", refresh);
$("reset").addEventListener("click", () => {
  artists.clear();
  change(() => (events = []));
  showArtists();
  $("done-title").focus();
});
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("secret").value;
  $("key").hidden = true;
  begin();
});
begin();
