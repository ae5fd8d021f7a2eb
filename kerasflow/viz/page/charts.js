// What is drawn: numbers in, plotly's charts out.

const GREY = "#5f5f5f";
const NAMES_AT_MOST = 12; // in a legend
const VALUES_AT_MOST = 12; // side by side; of more, an axis of numbers is drawn
const WIDE = 50; // from here on a linear axis presses the small values onto its bottom
// Named one by one: plotly's own choice holds a button that sends the chart to its makers.
const BUTTONS = [["zoom2d", "pan2d", "resetScale2d", "toImage"]];
const CONFIG = { displaylogo: false, responsive: true, displayModeBar: "hover", modeBarButtons: BUTTONS };
const AXIS = { gridcolor: "#e4e4e4", linecolor: "#8a8a8a", zeroline: false, automargin: true };
const LAYOUT = {
  font: { family: 'system-ui, "DejaVu Sans", sans-serif', size: 13, color: "#222" },
  hoverlabel: { align: "left", bgcolor: "#fff", namelength: -1 },
  hovermode: "closest",
  margin: { l: 60, r: 20, t: 10, b: 50 },
};

/** Text that plotly shows as it is: its own few tags and entities mean nothing in it. */
const literal = (text) => String(text).replace(/[&<>]/g, (letter) => `&#${letter.charCodeAt(0)};`);
const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const isWide = (values) => {
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  return low > 0 && high / low > WIDE;
};

/** One of `count` colours: eight that are told apart with every colour blindness, or steps. */
function colourOf(place, count) {
  if (count <= data.colours.length) return data.colours[place];
  return data.steps[Math.floor((place * (data.steps.length - 1)) / (count - 1))];
}

/** A colour a run, and the legend's name of each: its own, or the value of a param. */
function painted(runs, param) {
  if (param === null) {
    const places = new Map(data.runs.map((run, place) => [run, place]));
    return runs.map((run) => ({ run, name: run.label, colour: colourOf(places.get(run), data.runs.length) }));
  }
  const values = data.params[param].values;
  return runs.map((run) => {
    const place = values.indexOf(run.params[param]);
    return { run, place, name: shown(run.params[param]), colour: colourOf(place, values.length) };
  });
}

function told(run) {
  const value = (place) => literal(short(shown(run.params[place]), 60));
  return data.params.map((param, place) => `<br>${literal(param.short)}: ${value(place)}`);
}

function drawCurves(element, runs, curve, param, log) {
  const seen = new Set();
  const named = painted(runs, param).filter(({ run }) => run.curves[curve].some(isNumber));
  const names = new Set(named.map(({ name }) => name));
  const traces = named.map(({ run, place, name, colour }) => {
    const first = !seen.has(name);
    seen.add(name);
    const said = literal(run.label) + told(run).join("");
    return {
      type: "scatter",
      mode: run.epochs.length > 1 ? "lines" : "markers",
      x: run.epochs,
      y: run.curves[curve],
      line: { color: colour, width: named.length > 100 ? 1 : 2 },
      marker: { color: colour },
      name: literal(short(name, 40)),
      legendgroup: literal(name),
      legendrank: place ?? 1000,
      showlegend: (first || param === null) && names.size <= NAMES_AT_MOST,
      text: run.epochs.map(() => said),
      hovertemplate: `%{text}<br>epoch %{x}: <b>%{y:.4g}</b><extra></extra>`,
    };
  });
  const title = param === null ? "" : literal(data.params[param].short);
  return Plotly.react(element, traces, {
    ...LAYOUT,
    showlegend: true,
    margin: { ...LAYOUT.margin, t: 34 }, // for the buttons
    legend: { title: { text: title, font: { size: 13 } }, y: 1 },
    xaxis: { ...AXIS, title: { text: "epochs completed" }, tickformat: "d" },
    yaxis: { ...AXIS, title: { text: literal(data.curves[curve]) }, ...(log ? { type: "log", tickformat: "~g" } : {}) },
  }, CONFIG);
}

/** Dots at the value, moved aside a little where several would hide each other. */
function dots(runs, param, metric, position) {
  const having = runs.filter((run) => isNumber(run.metrics[metric]));
  return {
    type: "scatter",
    mode: "markers",
    x: having.map((run, index) => position(run.params[param]) + ((index % 7) - 3) * position.aside),
    y: having.map((run) => run.metrics[metric]),
    marker: { color: data.colours[0], size: 7, opacity: having.length > 60 ? 0.35 : 0.6 },
    text: having.map((run) => literal(run.label) + told(run).join("")),
    hovertemplate: `%{text}<br>${literal(data.metrics[metric].name)}: <b>%{y:.4g}</b><extra></extra>`,
  };
}

function means(found, metric, position) {
  const having = found.filter((level) => level.runs);
  return {
    type: "scatter",
    mode: "lines+markers",
    x: having.map((level) => position(level.value)),
    y: having.map((level) => level.mean),
    error_y: { type: "data", array: having.map((level) => level.std), color: "#000", thickness: 1.5, width: 6 },
    line: { color: GREY, width: 1, dash: "dot" },
    marker: { color: "#000", size: 11, symbol: "diamond" },
    text: having.map((level) => `${literal(short(shown(level.value), 60))}<br>${literal(spelled(level))}`),
    hovertemplate: `%{text}<extra>mean</extra>`,
  };
}

/** A level's mean and spread in words. */
function spelled(level) {
  const without = level.without ? `, ${level.without} without a number` : "";
  if (!level.runs) return `no number${without}`;
  const spread = level.std === null ? "" : ` ± ${shown(level.std)}`;
  return `${shown(level.mean)}${spread}, ${level.runs} of ${level.runs + level.without} runs`;
}

function drawEffect(element, runs, param, metric, range) {
  const found = levels(runs, param, metric);
  const values = data.params[param].values;
  const numeric = values.length > VALUES_AT_MOST && values.every(isNumber);
  const position = numeric ? (value) => value : (value) => values.indexOf(value);
  position.aside = numeric ? 0 : 0.03;
  const ticks = values.length > VALUES_AT_MOST ? [] : values; // words on end beside each other say nothing
  const across = numeric
    ? { type: isWide(values) ? "log" : "linear" }
    : {
        tickvals: ticks.map((value) => position(value)),
        ticktext: ticks.map((value) => literal(short(shown(value), 22))),
        range: [-0.5, values.length - 0.5],
        title: { text: ticks.length ? "" : `${values.length} values, named where the mouse points` },
      };
  const traces = [dots(runs, param, metric, position)];
  if (!numeric) traces.push(means(found, metric, position));
  return Plotly.react(element, traces, {
    ...LAYOUT,
    showlegend: false,
    xaxis: { ...AXIS, ...across },
    yaxis: { ...AXIS, title: { text: literal(data.metrics[metric].name) }, range },
  }, { ...CONFIG, displayModeBar: false });
}
