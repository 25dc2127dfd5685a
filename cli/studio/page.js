"use strict";
// The page of `degrade studio`: its state is one object, which the server answers with a picture and all that is shown.
const token = new URLSearchParams(location.search).get("token");
const $ = (id) => document.getElementById(id);
const natural = {"x-bdcnn": "chest", "x-bdcnn-released": "chest", cornea: "cornea"};  // phantoms; else fundus
const state = {image: "", recipe: "cofe-net", severity: "", settings: {}, seed: 0, parameters: {}, stage: "", size: 768};
const view = {divider: 50, zoom: 0, tab: "drawn", item: 0};
let recipes = {}, answer = null, cleanOf = "", running = false, waiting = false;

async function ask(path, body) {
  const reply = await fetch(path, {method: "POST", body, headers: {"X-Studio-Token": token}});
  const made = await reply.json();
  if (!reply.ok) throw new Error(made.error);
  return made;
}

// One request at a time; of the states that come up meanwhile only the last is asked for.
async function draw() {
  waiting = true;
  if (running) return;
  running = true;
  document.body.dataset.state = "working";
  while (waiting) {
    waiting = false;
    const text = JSON.stringify(state);
    try {
      const looksAt = `${state.image} ${state.size}`;
      const made = await ask("degraded", text);
      if (cleanOf !== looksAt) {
        $("clean").src = (await ask("clean", text)).clean;
        cleanOf = looksAt;
      }
      $("degraded").src = made.degraded;
      answer = made;
      $("error").hidden = true;
      show();
    } catch (error) {
      complain(error instanceof TypeError ? "degrade studio has ended: start it again" : error.message);
    }
  }
  await Promise.all([$("clean"), $("degraded")].map((picture) => picture.src ? picture.decode().catch(() => 0) : 0));
  running = false;
  if (waiting) return draw();
  document.body.dataset.state = $("error").hidden ? "ready" : "refused";
}

function complain(message) {
  $("error").textContent = message;
  $("error").hidden = false;
  place();
}

function change(changes) {
  Object.assign(state, changes);
  remember();
  draw();
}

function remember() {
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify({...state, view}))}`);
}

function recall() {
  try {
    const {view: seen, ...kept} = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    for (const name of Object.keys(state)) if (name in kept) state[name] = kept[name];
    Object.assign(view, seen);
  } catch { /* the address has none */ }
}

// small helpers for elements
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
const short = (value) => Number(value.toPrecision(4));
const fill = (select, options, value) => {
  select.replaceChildren(...options.map(([key, text]) => make("option", {value: key, textContent: text})));
  select.value = value;
};

function show() {
  const [width, height] = answer.file;
  const at = answer.width === width ? "" : `, shown at ${answer.width} × ${answer.height}`;
  $("note").textContent = `${answer.id}: ${width} × ${height} pixels${at}; degraded in ${answer.milliseconds.toFixed(1)} ms`;
  $("seed").value = state.seed;
  for (const name of ["set", "toml", "synth", "python", "id", "key"]) $(name).textContent = answer[name];
  if (!answer.set) $("set").textContent = "none: this is the published recipe";
  $("stages").replaceChildren(...["", ...answer.stages].map((stage) => {
    const button = make("button", {textContent: stage ? `only ${stage}` : "as drawn", onclick: () => change({stage})});
    button.setAttribute("aria-pressed", stage === state.stage);
    return button;
  }));
  $("right").textContent = state.stage ? `only ${state.stage}` : "degraded";
  showNumbers();
  showSettings();
  place();
}

// "This picture": a row per number, in groups by stage
function showNumbers() {
  const rows = answer.rows, items = Math.max(-1, ...rows.map((row) => row.item ?? -1)) + 1;
  view.item = Math.max(0, Math.min(view.item, items - 1));
  const rowsShown = rows.filter((row) => row.item === null || row.item === view.item);
  const layout = JSON.stringify([state.recipe, view.item, items, rowsShown.map((row) => [row.name, row.kind])]);
  if ($("numbers").dataset.layout !== layout) {
    $("numbers").dataset.layout = layout;
    const groups = new Map();
    for (const row of rowsShown) {
      if (!groups.has(row.stage)) groups.set(row.stage, []);
      groups.get(row.stage).push(row);
    }
    $("numbers").replaceChildren();
    for (const [stage, members] of groups) {
      const title = make("h3", {textContent: stage || "general"}, make("small", {textContent: "does not act: see type"}));
      title.dataset.stage = stage;
      if (members.some((row) => row.item !== null)) title.append(itemChooser(items));
      $("numbers").append(title, ...members.map(numberRow));
    }
  }
  for (const row of rowsShown) refreshNumber(row);
}

function itemChooser(items) {
  const select = make("select", {id: "item"});
  fill(select, Array.from({length: items}, (_, k) => [k, `${k + 1} of ${items}`]), view.item);
  select.onchange = () => { view.item = Number(select.value); remember(); showNumbers(); };
  return select;
}

function numberRow(row) {
  const unit = row.kind === "real" ? `${short(row.allowed[0])} to ${short(row.allowed[1])} ${row.unit}` : "";
  const name = make("span", {className: "name", textContent: row.label + (row.part ? `, ${row.part}` : "")},
    make("small", {textContent: unit}));
  const element = make("div", {className: "row", title: `${row.meaning}; allowed: ${row.range}`}, name);
  element.dataset.name = row.name;
  const send = (value) => change({parameters: {...state.parameters, [row.name]: value}});
  if (row.kind === "stages") {
    const select = make("select", {className: "wide"});
    fill(select, row.choices, row.value);
    select.onchange = () => send(Number(select.value));
    element.append(select);
  } else if (row.kind === "real") {
    const slider = make("input", {type: "range", step: "any", ariaLabel: row.name});
    const number = make("input", {type: "number", step: "any", min: row.allowed[0], max: row.allowed[1], ariaLabel: row.name});
    slider.oninput = () => { number.value = short(slider.valueAsNumber); send(slider.valueAsNumber); };
    number.onchange = () => { if (!Number.isNaN(number.valueAsNumber)) send(number.valueAsNumber); };
    element.append(slider, number);
    if (row.setting) {
      const fix = make("button", {textContent: "fix", title: `Put this value into the recipe: ${row.label} for every picture`});
      fix.onclick = () => {
        const {[row.name]: _, ...others} = state.parameters;
        change({parameters: others, settings: {...state.settings, [row.label]: short(number.valueAsNumber)}});
      };
      element.append(fix);
    }
  } else {
    element.append(make("code", {className: "wide"}));
  }
  return element;
}

function refreshNumber(row) {
  const element = document.querySelector(`[data-name="${row.name}"]`);
  element.classList.toggle("idle", !row.acts);
  document.querySelector(`h3[data-stage="${row.stage}"] small`).hidden = row.acts;
  element.classList.toggle("changed", row.name in state.parameters);
  if (row.kind === "real") {
    const [slider, number] = element.querySelectorAll("input");
    if (slider !== document.activeElement || !waiting) {
      [slider.min, slider.max] = row.span;
      slider.value = row.value;
    }
    if (number !== document.activeElement) number.value = short(row.value);
  } else if (row.kind === "stages") {
    element.querySelector("select").value = row.value;
  } else {
    element.querySelector("code").textContent = row.value;
  }
}

// "Recipe": a row per setting
function showSettings() {
  if ($("settings").dataset.recipe !== state.recipe) {
    $("settings").dataset.recipe = state.recipe;
    fill($("severity"), recipes[state.recipe].severities, state.severity);
    $("citation").textContent = recipes[state.recipe].citation;
    $("settings").replaceChildren(...recipes[state.recipe].settings.map(settingRow));
  }
  $("severity").value = state.severity;
  for (const row of recipes[state.recipe].settings) {
    const element = document.querySelector(`[data-setting="${row.name}"]`);
    element.classList.toggle("changed", answer.changed.includes(row.name));
    if (!element.contains(document.activeElement) || !waiting) element.refresh(answer.settings[row.name]);
  }
}

function settingRow(row) {
  const name = make("span", {className: "name", textContent: row.name}, make("small", {textContent: row.unit}));
  const range = row.kind !== "choice" ? `; allowed: ${row.limits[0]} to ${row.limits[1]} ${row.unit}` : "";
  const element = make("div", {className: row.kind === "range" ? "row range" : "row", title: row.meaning + range}, name);
  element.dataset.setting = row.name;
  const send = (value) => change({settings: {...state.settings, [row.name]: value}});
  if (row.kind === "choice") {
    const select = make("select", {className: "wide"});
    fill(select, row.choices.map((choice) => [choice, String(choice)]), "");
    select.onchange = () => send(typeof row.choices[0] === "boolean" ? select.value === "true" : select.value);
    element.append(select);
    element.refresh = (value) => { select.value = String(value); };
  } else if (row.kind === "number") {
    const [slider, number] = [make("input", {type: "range"}), make("input", {type: "number", ariaLabel: row.name})];
    for (const input of [slider, number]) Object.assign(input, {step: "any", min: row.limits[0], max: row.limits[1]});
    slider.max = Math.min(row.limits[1], Math.max(1, 2 * row.value));
    slider.oninput = () => { number.value = short(slider.valueAsNumber); send(short(slider.valueAsNumber)); };
    number.onchange = () => { if (!Number.isNaN(number.valueAsNumber)) send(number.valueAsNumber); };
    element.append(slider, number);
    element.refresh = (value) => {
      slider.max = Math.max(slider.max, value);
      slider.value = value;
      number.value = value;
    };
  } else {
    rangeInputs(row, element, send);
  }
  return element;
}

function rangeInputs(row, element, send) {
  const [low, high] = Array.isArray(row.value) ? row.value : [row.value, row.value];
  const margin = (high - low) || 0.1 * (row.limits[1] - row.limits[0]);
  const span = [Math.max(row.limits[0], low - margin), Math.min(row.limits[1], high + margin)];
  const sliders = [0, 1].map(() => make("input", {type: "range", step: row.whole ? 1 : "any", ariaLabel: row.name}));
  const numbers = [0, 1].map((end) => make("input", {type: "number", step: row.whole ? 1 : "any", min: row.limits[0],
    max: row.limits[1], ariaLabel: `${row.name}, ${end ? "highest" : "lowest"}`}));
  const sent = (ends, moved) => {
    if (ends.some(Number.isNaN)) return;
    if (ends[0] > ends[1]) ends[1 - moved] = ends[moved];  // the other end is pushed along
    element.refresh(ends);
    send(ends);
  };
  for (const end of [0, 1]) {
    sliders[end].oninput = () => {
      const ends = numbers.map((number) => number.valueAsNumber);
      ends[end] = short(sliders[end].valueAsNumber);
      sent(ends, end);
    };
    numbers[end].onchange = () => sent(numbers.map((number) => number.valueAsNumber), end);
  }
  element.append(make("div", {className: "double"}, ...sliders), ...numbers);
  element.refresh = (value) => {
    const ends = Array.isArray(value) ? value : [value, value];
    for (const end of [0, 1]) {
      sliders[end].min = Math.min(span[0], ends[0]);
      sliders[end].max = Math.max(span[1], ends[1]);
      sliders[end].value = ends[end];
      numbers[end].value = ends[end];
    }
    sliders[0].style.zIndex = ends[0] >= span[1] ? 1 : 0;  // at the right end the low one must be the one on top
  };
}

// the divider, and the place of the pictures
function place() {
  if (!answer) return;
  const room = $("scroll"), fit = Math.min(room.clientWidth / answer.width, room.clientHeight / answer.height);
  const scale = Number(view.zoom) || fit;
  const [across, down] = [room.scrollLeft + room.clientWidth / 2, room.scrollTop + room.clientHeight / 2];
  const grows = Math.floor(answer.width * scale) / ($("frame").clientWidth || 1);
  $("frame").style.width = `${Math.floor(answer.width * scale)}px`;
  $("frame").style.height = `${Math.floor(answer.height * scale)}px`;
  if (grows !== 1) room.scrollTo(across * grows - room.clientWidth / 2, down * grows - room.clientHeight / 2);
  $("frame").classList.toggle("large", scale >= 2);
  $("clean").style.clipPath = `inset(0 ${100 - view.divider}% 0 0)`;
  $("divider").style.left = `${view.divider}%`;
  $("divider").setAttribute("aria-valuenow", Math.round(view.divider));
  $("left").hidden = view.divider < 15;
  $("right").hidden = view.divider > 85;
}

function divide(percent) {
  view.divider = Math.max(0, Math.min(100, percent));
  place();
}

function drag(event) {
  if (event.type === "pointerdown") $("frame").setPointerCapture(event.pointerId);
  if (!$("frame").hasPointerCapture(event.pointerId)) return;
  const box = $("frame").getBoundingClientRect();
  divide(100 * (event.clientX - box.left) / box.width);
}

function showTab(tab) {
  view.tab = tab;
  for (const button of $("tabs").children) {
    button.setAttribute("aria-selected", button.dataset.tab === tab);
    $(button.dataset.tab).hidden = button.dataset.tab !== tab;
  }
}

// images
function listImages(images, chosen) {
  fill($("image"), images.map((image) => [image.handle, image.name]), chosen);
  if ($("image").selectedIndex < 0) $("image").selectedIndex = 0;
  state.image = $("image").value;
}

async function open(file) {
  if (!file) return;
  document.body.dataset.state = "working";
  try {
    const opened = await ask(`open?name=${encodeURIComponent(file.name)}`, file);
    listImages(opened.images, opened.handle);
    change({parameters: {}});
  } catch (error) {
    complain(`${file.name}: ${error.message}`);
    document.body.dataset.state = "refused";
  }
}

function chooseRecipe(recipe) {
  const changes = {recipe, severity: "", settings: {}, parameters: {}, stage: ""};
  if (state.image.startsWith("phantom:")) {
    changes.image = `phantom:${natural[recipe] ?? "fundus"}:0`;
    $("image").value = changes.image;
  }
  change(changes);
}

async function copy(button) {
  const shown = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(answer[shown]);
    button.textContent = "Copied";
  } catch {  // where the browser does not allow it, the user can
    getSelection().selectAllChildren($(shown));
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1200);
}

function download() {
  const link = make("a", {href: URL.createObjectURL(new Blob([answer.toml], {type: "application/toml"})), download: `${state.recipe}.toml`});
  link.click();
  URL.revokeObjectURL(link.href);
}

const again = () => change({seed: state.seed + 1, parameters: {}});

function listen() {
  $("image").onchange = () => change({image: $("image").value, parameters: {}});
  $("recipe").onchange = () => chooseRecipe($("recipe").value);
  $("seed").onchange = () => change({seed: Math.trunc($("seed").valueAsNumber) || 0, parameters: {}});
  $("again").onclick = again;
  $("size").onchange = () => change({size: Number($("size").value)});
  $("zoom").onchange = () => { view.zoom = Number($("zoom").value); place(); remember(); };
  $("forget").onclick = () => change({parameters: {}});
  $("published").onclick = () => change({severity: "", settings: {}});
  $("severity").onchange = () => change({severity: $("severity").value});
  $("download").onclick = download;
  $("file").onchange = () => { open($("file").files[0]); $("file").value = ""; };
  for (const button of document.querySelectorAll("[data-copy]")) button.onclick = () => copy(button);
  for (const button of $("tabs").children) button.onclick = () => { showTab(button.dataset.tab); remember(); };
  for (const kind of ["pointerdown", "pointermove"]) $("frame").addEventListener(kind, drag);
  $("frame").addEventListener("pointerup", remember);
  $("divider").onkeydown = (event) => {
    const step = {ArrowLeft: -2, ArrowRight: 2, Home: -100, End: 100}[event.key];
    if (step) { divide(view.divider + step); remember(); event.preventDefault(); }
  };
  document.onkeydown = (event) => {
    const typing = ["INPUT", "SELECT"].includes(event.target.tagName);
    if (event.key === "n" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) again();
  };
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => { event.preventDefault(); open(event.dataTransfer.files[0]); };
  window.onresize = place;
}

async function begin() {
  const start = await ask("start", "{}");
  recipes = start.recipes;
  Object.assign(state, start.state);
  recall();
  if (!(state.recipe in recipes)) Object.assign(state, {recipe: "cofe-net", severity: "", settings: {}, parameters: {}});
  fill($("recipe"), Object.entries(recipes).map(([name, recipe]) => [name, name]), state.recipe);
  const first = start.images[0].handle;
  listImages(start.images, state.image || (first.startsWith("phantom:") ? `phantom:${natural[state.recipe] ?? "fundus"}:0` : first));
  $("size").value = state.size;
  $("zoom").value = view.zoom;
  showTab(view.tab);
  listen();
  draw();
}

begin().catch((error) => complain(error.message));
