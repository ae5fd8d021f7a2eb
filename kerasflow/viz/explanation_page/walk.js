// The network, walked through: forward column by column, then back.

const columns = data.diagram.columns;
const network = document.getElementById("network");
const slider = document.getElementById("step");
const steps = [
  ...columns.map((_, place) => ({ place, forward: true })),
  { place: columns.length - 1, forward: true, cost: true },
  ...columns.map((_, place) => ({ place: columns.length - 1 - place, forward: false })),
];
const WIDTHS = [0.5, 1, 2, 3.5, 5.5]; // a trace each: plotly's lines have one width
const POSITIVE = "#0072b2";
const NEGATIVE = "#d55e00";
slider.max = steps.length - 1;

/** Where a neuron stands: columns from left to right, their neurons around the middle. */
const across = (column) => column;
const down = (column, neuron) => (columns[column].neurons.length - 1) / 2 - neuron;

/** The weights as lines, sorted by width and sign; and a point in the middle of each, for the mouse. */
function lines() {
  const traces = [];
  const middle = { x: [], y: [], text: [] };
  const buckets = new Map();
  columns.forEach((column, place) => {
    if (!column.weights.length) return;
    const largest = Math.max(...column.weights.flat().map(Math.abs)) || 1;
    column.weights.forEach((row, from) => row.forEach((weight, to) => {
      const width = Math.min(WIDTHS.length - 1, Math.floor((Math.abs(weight) / largest) * WIDTHS.length));
      const key = `${width} ${weight < 0}`;
      if (!buckets.has(key)) buckets.set(key, { width, negative: weight < 0, x: [], y: [] });
      const bucket = buckets.get(key);
      const [x0, y0, x1, y1] = [across(column.source), down(column.source, from), across(place), down(place, to)];
      bucket.x.push(x0, x1, null);
      bucket.y.push(y0, y1, null);
      middle.x.push(x0 + (x1 - x0) * 0.35);
      middle.y.push(y0 + (y1 - y0) * 0.35);
      middle.text.push(`weight from ${literal(columns[column.source].name + columns[column.source].neurons[from])}`
        + ` to ${literal(column.name + column.neurons[to])}: <b>${shown(weight)}</b>`);
    }));
  });
  for (const { width, negative, x, y } of buckets.values()) {
    traces.push({
      type: "scatter", mode: "lines", x, y, hoverinfo: "skip", opacity: 0.4 + 0.12 * width,
      line: { width: WIDTHS[width], color: negative ? NEGATIVE : POSITIVE },
    });
  }
  traces.push({
    type: "scatter", mode: "markers", ...middle, hovertemplate: "%{text}<extra></extra>",
    marker: { size: 9, opacity: 0 },
  });
  return traces;
}

/** What a column shows at a step: nothing yet, H, or dE/dZ. */
function values(place, step) {
  const column = columns[place];
  if (step.forward) return place <= step.place ? column.H : null;
  return place >= step.place ? column.dE_dZ : column.H;
}

/** A sum of several terms is long: a line for each few. */
const folded = (text) => literal(text).replace(/(.{60,80}?) ([+=]|H =)/g, "$1<br>$2");

function neurons(step, ink) {
  return columns.map((column, place) => {
    const now = values(place, step);
    const largest = now ? Math.max(...now.map(Math.abs)) || 1 : 1;
    const back = !step.forward && place >= step.place;
    return {
      type: "scatter", mode: columns.length > 9 ? "markers" : "markers+text",
      x: column.neurons.map(() => across(place)), y: column.neurons.map((_, neuron) => down(place, neuron)),
      text: column.neurons.map((_, neuron) => (now ? String(Number(now[neuron].toPrecision(4))) : "")),
      textposition: "top center", textfont: { size: 11, color: ink }, cliponaxis: false,
      hovertext: column.neurons.map((name, neuron) => `<b>${literal(column.name + name)}</b><br>Z = `
        + `${shown(column.Z[neuron])}<br>H = ${shown(column.H[neuron])}<br>dE/dZ = ${shown(column.dE_dZ[neuron])}`
        + (column.sums[neuron] ? `<br>${folded(column.sums[neuron])}` : "")),
      hovertemplate: "%{hovertext}<extra></extra>",
      marker: {
        size: 16, symbol: back ? "diamond" : "circle", color: now ? now : column.neurons.map(() => 0),
        cmin: -largest, cmax: largest, colorscale: [[0, NEGATIVE], [0.5, "#f7f7f7"], [1, POSITIVE]],
        line: { width: place === step.place ? 3 : 1, color: ink },
      },
    };
  });
}

function headings() {
  return columns.map((column, place) => {
    const more = column.units - column.neurons.length;
    const name = column.name.length > 16 ? `${column.name.slice(0, 15)}…` : column.name;
    return {
      x: across(place), y: 1, yref: "paper", showarrow: false, yanchor: "bottom",
      text: `<b>${literal(name)}</b><br>${literal(column.kind)}${more > 0 ? `<br>… ${more.toLocaleString("en")} more` : ""}`,
    };
  });
}

function drawNetwork(step, printing) {
  const { base } = layout(printing);
  const hidden = { visible: false, fixedrange: true };
  const tallest = Math.max(...columns.map((column) => column.neurons.length));
  network.style.minWidth = `${columns.length * 88}px`;
  network.style.height = `${110 + 38 * Math.max(4, tallest)}px`;
  // Anew each time: a text that was empty is not drawn by plotly's `react`.
  return Plotly.newPlot(network, [...lines(), ...neurons(step, theme(printing).ink)], {
    ...base, showlegend: false, annotations: headings(), margin: { l: 10, r: 10, t: 64, b: 10 },
    xaxis: { ...hidden, range: [-0.4, columns.length - 0.4] },
    yaxis: { ...hidden, range: [-(tallest - 1) / 2 - 0.7, (tallest - 1) / 2 + 0.7] },
  }, { ...CONFIG, displayModeBar: false });
}

function sentence({ place, forward, cost }) {
  const column = columns[place];
  const first = column.neurons[0];
  if (cost) {
    return `The error of this sample is E = ${shown(data.diagram.error)}; dE/dO${first} = ${shown(column.dE_dH[0])}.`;
  }
  if (place === 0) {
    return forward ? `The sample goes in: ${column.units.toLocaleString("en")} numbers.`
      : "Back at the sample: dE by its numbers, which nothing updates.";
  }
  if (forward) {
    const sum = column.sums[0] ? ` Neuron ${first}: ${column.sums[0]}.` : "";
    return `Forward, ${column.name} (${column.kind}, ${column.activation}).${sum}`;
  }
  const numbers = `Neuron ${first}: dE/dH = ${shown(column.dE_dH[0])}, dE/dZ = ${shown(column.dE_dZ[0])}.`;
  return `Back, ${column.name} (${column.kind}, ${column.activation}): dE/dZ = dE/dH · dH/dZ. ${numbers}`;
}

/** What a step's table holds. */
function asked(column, place, forward, cost) {
  if (cost) return { heads: ["neuron", "O", "dE/dO"], cells: (i) => [column.H[i], column.dE_dH[i]] };
  if (!forward) return { heads: ["neuron", "dE/dH", "dE/dZ"], cells: (i) => [column.dE_dH[i], column.dE_dZ[i]] };
  if (place === 0) return { heads: ["input", "value"], cells: (i) => [column.H[i]] };
  return { heads: ["neuron", "Z", "H", "arithmetic"], cells: (i) => [column.Z[i], column.H[i], column.sums[i] ?? ""] };
}

/** A row a neuron; the text is never HTML. */
function fillTable({ place, forward, cost }) {
  const column = columns[place];
  const table = document.getElementById("step-table");
  const { heads, cells } = asked(column, place, forward, cost);
  const rows = column.neurons.map((name, neuron) => [name, ...cells(neuron)]);
  const more = column.units - column.neurons.length;
  table.caption.textContent = `${column.name}${more > 0 ? `, ${more.toLocaleString("en")} more neurons are not shown` : ""}`;
  const made = (kind, value) => {
    const cell = document.createElement(kind);
    cell.textContent = typeof value === "number" ? shown(value) : value;
    if (typeof value === "number") { cell.className = "number"; cell.title = String(value); }
    return cell;
  };
  const row = (kind, cells) => {
    const line = document.createElement("tr");
    line.append(...cells.map((cell) => made(kind, cell)));
    return line;
  };
  table.tHead.replaceChildren(row("th", heads));
  table.tBodies[0].replaceChildren(...rows.map((line) => row("td", line)));
}

function go(number, printing = false) {
  const at = Math.min(steps.length - 1, Math.max(0, number));
  const step = steps[at];
  slider.value = at;
  const told = sentence(step);
  slider.setAttribute("aria-valuetext", told);
  document.getElementById("place").textContent = `${at + 1} of ${steps.length}`;
  document.getElementById("said").textContent = told;
  for (const [id, end] of [["first", 0], ["back", 0], ["next", steps.length - 1], ["last", steps.length - 1]]) {
    document.getElementById(id).disabled = at === end;
  }
  fillTable(step);
  return drawNetwork(step, printing);
}

const here = () => Number(slider.value);
const out = data.diagram.left_out ? ` ${data.diagram.left_out} layers in the middle are not shown.` : "";
document.getElementById("key").textContent = "A line is a weight: blue positive, orange negative, the wider the larger in "
  + `its layer. A circle shows H, a diamond dE/dZ; the mouse on either, or on a line, shows the numbers.${out}`;
slider.addEventListener("input", () => go(here()));
document.getElementById("first").addEventListener("click", () => go(0));
document.getElementById("back").addEventListener("click", () => go(here() - 1));
document.getElementById("next").addEventListener("click", () => go(here() + 1));
document.getElementById("last").addEventListener("click", () => go(steps.length - 1));
function drawAll(printing = false) {
  go(here(), printing);
  drawCharts(printing);
}
DARK.addEventListener("change", () => drawAll());
let folded_before = [];
window.addEventListener("beforeprint", () => {
  folded_before = [...document.querySelectorAll("details:not([open])")];
  folded_before.forEach((one) => { one.open = true; });
  drawAll(true);
});
window.addEventListener("afterprint", () => {
  folded_before.forEach((one) => { one.open = false; });
  drawAll();
});
drawAll();
