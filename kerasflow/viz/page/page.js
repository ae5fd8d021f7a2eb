// What is asked and answered: controls, the two tables, and when charts are drawn anew.

const at = (id) => document.getElementById(id);
const state = { sort: null, down: false };

/** An element with its text, which is never read as HTML. */
function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function offer(select, options, chosen) {
  select.replaceChildren(...options.map(([text, value]) => element("option", short(String(text), 60), { value })));
  if (chosen !== undefined) select.value = chosen;
}

/** A control a hyperparameter: a choice of its values, or the ends of a range where they are many numbers. */
function paramControls() {
  data.params.forEach((param, place) => {
    const label = element("label", `${param.short} `, { title: param.name });
    if (param.values.length > VALUES_AT_MOST && param.values.every(isNumber)) {
      for (const end of ["from", "to"]) {
        label.append(element("input", "", { type: "number", step: "any", placeholder: end, "data-param": place,
          "data-end": end, "aria-label": `${param.short} ${end}` }));
      }
    } else {
      const select = element("select", "", { "data-param": place });
      offer(select, [["all", ""], ...param.values.map((value, index) => [shown(value), index])]);
      label.append(select);
    }
    at("by-param").append(label);
  });
}

function wanted() {
  const params = [];
  for (const control of document.querySelectorAll("[data-param]")) {
    if (control.value === "") continue;
    const place = Number(control.dataset.param);
    const { end } = control.dataset;
    const chosen = end ? { [end]: Number(control.value) } : { value: data.params[place].values[control.value] };
    params.push({ place, ...chosen });
  }
  return { text: at("text").value.trim(), status: at("status").value, params };
}

const columns = [
  { name: "run", of: (run) => run.label },
  { name: "status", of: (run) => run.status },
  ...data.params.map((param, place) => ({ name: param.short, full: param.name, of: (run) => run.params[place] })),
  ...data.metrics.map((metric, place) => ({ name: metric.name, of: (run) => run.metrics[place], number: true })),
  { name: "stop reason", full: "stop_reason", of: (run) => run.reason },
];

/** Numbers in their order, then words in theirs, then gaps, whichever way the column is sorted. */
function sorted(runs) {
  if (state.sort === null) return runs;
  const { of } = columns[state.sort];
  const kind = (value) => (isNumber(value) ? 0 : value === null ? 2 : 1);
  const sign = state.down ? -1 : 1;
  return [...runs].sort((one, other) => {
    const [a, b] = [of(one), of(other)];
    if (kind(a) !== kind(b)) return kind(a) - kind(b);
    return sign * (isNumber(a) ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  });
}

function head(table, caption, cells) {
  const row = element("tr");
  row.append(...cells);
  const top = element("thead");
  top.append(row);
  table.replaceChildren(element("caption", caption, { class: "note" }), top, element("tbody"));
  return table.tBodies[0];
}

function tableOfRuns(runs, first) {
  const cells = columns.map((column, place) => {
    const turned = state.sort === place ? (state.down ? "descending" : "ascending") : "none";
    const cell = element("th", "", { scope: "col", "aria-sort": turned, class: column.number ? "number" : "" });
    const mark = { none: "", ascending: " ▲", descending: " ▼" }[turned];
    const button = element("button", column.name + mark, { type: "button", title: column.full ?? column.name });
    button.addEventListener("click", () => {
      state.down = state.sort === place && !state.down;
      state.sort = place;
      update();
      at("runs").querySelectorAll("thead button")[place].focus();
    });
    cell.append(button);
    return cell;
  });
  const body = head(at("runs"), "A click on a column's name sorts by it.", cells);
  body.append(...sorted(runs).map((run) => {
    const row = element("tr", "", run === first ? { class: "best" } : {});
    row.append(...columns.map((column, place) => {
      const value = column.of(run);
      if (!place) return element("th", run === first ? `★ ${value}` : value, { scope: "row" });
      const kind = column.number || isNumber(value) ? "number" : shown(value).length > 24 ? "long" : "";
      return element("td", shown(value), { class: kind });
    }));
    return row;
  }));
}

function tableOfLevels(runs, metric) {
  const names = ["hyperparameter", "value", "runs", "without a number", "settings", "mean", "std over seeds"];
  const body = head(at("levels"), data.metrics[metric].name, names.map((name, place) =>
    element("th", name, { scope: "col", class: place > 1 ? "number" : "" })));
  for (const param of seedless) {
    for (const level of levels(runs, param, metric)) {
      const row = element("tr");
      const cells = [level.value, level.runs, level.without, level.settings, level.mean, level.std];
      row.append(element("th", data.params[param].name, { scope: "row" }));
      row.append(...cells.map((value, place) => element("td", shown(value), { class: place ? "number" : "" })));
      body.append(row);
    }
  }
}

/** One range of all effect charts, so that their heights compare. */
function rangeOf(runs, metric) {
  const values = runs.map((run) => run.metrics[metric]).filter(isNumber);
  if (!values.length) return undefined;
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  const room = 0.08 * (high - low || Math.abs(high) || 1);
  return [low - room, high + room];
}

function update() {
  const runs = filtered(wanted());
  const metric = Number(at("metric").value);
  const first = best(runs, metric);
  const by = first && `${data.metrics[metric].name} = ${shown(first.metrics[metric])}`;
  const found = first ? `; the best is ${first.label}, by ${by}` : "";
  at("answer").textContent = `${runs.length} of ${data.runs.length} runs shown${found}.`;
  tableOfRuns(runs, first);
  const colour = at("colour").value === "" ? null : Number(at("colour").value);
  if (data.curves.length) drawCurves(at("curves"), runs, Number(at("curve").value), colour, at("log").checked);
  if (!data.metrics.length) return;
  tableOfLevels(runs, metric);
  drawTogether(at("together"), runs, metric);
  drawHistory(at("history"), runs, metric);
  const range = rangeOf(runs, metric);
  for (const param of seedless) drawEffect(at(`effect-${param}`), runs, param, metric, range);
}

function download() {
  const names = columns.map((column) => column.full ?? column.name);
  const rows = sorted(filtered(wanted())).map((run) => columns.map((column) => column.of(run)));
  const link = element("a", "", { download: "runs.csv" });
  link.href = URL.createObjectURL(new Blob([csv(names, rows)], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** A cost that falls far is read on a log scale. */
function guessLog() {
  const values = data.runs.flatMap((run) => run.curves[Number(at("curve").value)] ?? []).filter(isNumber);
  at("log").checked = isWide(values);
}

function begin() {
  const statuses = [...new Set(data.runs.map((run) => run.status))].sort();
  offer(at("status"), [["all", ""], ...statuses.map((one) => [one, one])]);
  const usual = ["val/loss", "train/loss"].map((name) => data.curves.indexOf(name)).find((place) => place >= 0);
  offer(at("curve"), data.curves.map((name, place) => [name, place]), usual ?? 0);
  const few = data.runs.length <= data.colours.length || !seedless.length;
  const [fewest] = [...seedless].sort((a, b) => data.params[a].values.length - data.params[b].values.length);
  offer(at("colour"), [["run", ""], ...data.params.map((param, place) => [param.short, place])], few ? "" : fewest);
  const chosen = data.metrics.findIndex((metric) => metric.name === data.metric);
  offer(at("metric"), data.metrics.map((metric, place) => [metric.name, place]), Math.max(chosen, 0));
  paramControls();
  at("no-effects").hidden = seedless.length > 0;
  for (const param of seedless) {
    const figure = element("figure");
    const label = `Metric by ${data.params[param].name}`;
    figure.append(element("figcaption", data.params[param].short, { title: data.params[param].name }));
    figure.append(element("div", "", { id: `effect-${param}`, class: "chart", role: "img", "aria-label": label }));
    at("effects").append(figure);
  }
  at("mattered").hidden = !data.importance.length;
  data.importance.forEach((one, place) => {
    const figure = element("figure");
    figure.append(element("figcaption", one.label));
    figure.append(element("div", "", { id: `importance-${place}`, class: "chart", role: "img",
      "aria-label": `Importance of the hyperparameters of ${one.label}` }));
    at("importance").append(figure);
    drawImportance(at(`importance-${place}`), one);
  });
  at("filter").addEventListener("submit", (event) => event.preventDefault());
  at("filter").addEventListener("input", update);
  at("filter").addEventListener("reset", () => setTimeout(update));
  at("curve").addEventListener("change", () => { guessLog(); update(); });
  for (const id of ["colour", "log", "metric"]) at(id).addEventListener("change", update);
  at("download").addEventListener("click", download);
  guessLog();
  update();
}

begin();
