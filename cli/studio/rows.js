"use strict";
// The rows of the page: a number of the picture or a setting of the recipe each. page.js has the state that they change.

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
