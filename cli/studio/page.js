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
