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

/** The metric of each run in the order in which they began, and the best so far. */
function drawHistory(element, runs, metric) {
  const { name, higher } = data.metrics[metric];
  const having = runs.filter((run) => isNumber(run.metrics[metric]));
  const values = having.map((run) => run.metrics[metric]);
  const places = having.map((run) => data.runs.indexOf(run) + 1);
  const best = [];
  for (const value of values) {
    const before = best.length ? best[best.length - 1] : value;
    best.push(higher ? Math.max(before, value) : Math.min(before, value));
  }
  const traces = [
    {
      type: "scatter", mode: "markers", x: places, y: values, name: "runs", marker: { color: data.colours[0], size: 7 },
      text: having.map((run) => literal(run.label) + told(run).join("")),
      hovertemplate: `%{text}<br>${literal(name)}: <b>%{y:.4g}</b><extra></extra>`,
    },
    {
      type: "scatter", mode: "lines", x: places, y: best, name: "best so far", line: { color: data.colours[1], shape: "hv" },
      hovertemplate: "best so far: <b>%{y:.4g}</b><extra></extra>",
    },
  ];
  return Plotly.react(element, traces, {
    ...LAYOUT,
    showlegend: true,
    xaxis: { ...AXIS, title: { text: "runs, in the order in which they began" }, tickformat: "d" },
    yaxis: {
      ...AXIS, title: { text: literal(name) }, ...(isWide(values) ? { type: "log", tickformat: "~g" } : {}),
    },
  }, { ...CONFIG, displayModeBar: false });
}

/** An axis of parallel coordinates: where a value lies on it, 0 to 1, and what is written beside it. */
function coordinate(name, every, few = 2) {
  const numbers = every.filter(isNumber);
  const numeric = numbers.length === every.length && every.length > few;
  if (!numeric) {
    const last = Math.max(1, every.length - 1);
    const ticks = every.length > VALUES_AT_MOST ? [] : every.map((value, place) => [place / last, shown(value)]);
    return { name, of: (value) => every.indexOf(value) / last, ticks };
  }
  const scale = isWide(numbers) ? Math.log10 : (value) => value;
  const sorted = [...numbers].sort((a, b) => a - b);
  const [low, high] = [sorted[0], sorted[sorted.length - 1]];
  const of = (value) => (scale(value) - scale(low)) / (scale(high) - scale(low) || 1);
  return { name, of, ticks: [low, high].map((value) => [of(value), shown(value)]) };
}

/** Each run as a line through its values, coloured by how well it did; the best one wide and on top. */
function drawTogether(element, runs, metric) {
  const { name, higher } = data.metrics[metric];
  const having = runs.filter((run) => isNumber(run.metrics[metric]));
  having.sort((a, b) => (higher ? 1 : -1) * (a.metrics[metric] - b.metrics[metric])); // the best comes last
  const axes = data.params.map((param) => coordinate(param.short, param.values));
  const own = coordinate(name, [...new Set(having.map((run) => run.metrics[metric]))], 0);
  const through = (run) => [...run.params.map((value, place) => axes[place].of(value)), own.of(run.metrics[metric])];
  const lines = having.map((run, place) => {
    const first = place === having.length - 1;
    const step = Math.floor(((having.length - 1 - place) * (data.steps.length - 1)) / Math.max(1, having.length - 1));
    return {
      type: "scatter", mode: "lines", x: [...axes.keys(), axes.length], y: through(run), showlegend: false,
      line: { color: first ? data.colours[1] : data.steps[step], width: first ? 4 : 1.5 }, opacity: first ? 1 : 0.7,
      text: Array(axes.length + 1).fill(literal(run.label) + told(run).join("")),
      hovertemplate: `%{text}<br>${literal(name)}: <b>${shown(run.metrics[metric])}</b><extra></extra>`,
    };
  });
  const beside = [...axes, own].flatMap(({ ticks }, place) => ticks.map(([y, text]) => ({
    x: place, y, text: literal(short(text, 18)), showarrow: false, xanchor: "left", xshift: 5, bgcolor: "#ffffffcc",
  })));
  return Plotly.react(element, lines, {
    ...LAYOUT,
    annotations: beside,
    shapes: [...axes, own].map((_, place) => ({
      type: "line", x0: place, x1: place, y0: 0, y1: 1, line: { color: GREY, width: 1 }, layer: "below",
    })),
    xaxis: {
      ...AXIS, showgrid: false, range: [-0.2, axes.length + 0.5], tickvals: [...axes.keys(), axes.length],
      ticktext: [...axes, own].map((axis) => literal(short(axis.name, 22))),
    },
    yaxis: { visible: false, range: [-0.06, 1.06], fixedrange: true },
  }, { ...CONFIG, displayModeBar: false });
}

function drawImportance(element, { shares }) {
  const ordered = [...shares].sort((a, b) => a.share - b.share);
  return Plotly.react(element, [{
    type: "bar", orientation: "h", x: ordered.map(({ share }) => share), y: ordered.map(({ short: name }) => literal(name)),
    text: ordered.map(({ share }) => share.toFixed(2)), textposition: "auto", marker: { color: data.colours[0] },
    hovertemplate: "%{y}: <b>%{x:.3f}</b><extra></extra>",
  }], {
    ...LAYOUT, xaxis: { ...AXIS, title: { text: "share of the spread" } }, yaxis: { ...AXIS },
  }, { ...CONFIG, displayModeBar: false });
}
