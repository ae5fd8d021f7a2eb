// The curves of each section: numbers in, plotly's charts out.

const data = JSON.parse(document.getElementById("numbers").textContent);
const DARK = window.matchMedia("(prefers-color-scheme: dark)");
// Named one by one: plotly's own choice holds a button that sends the chart to its makers.
const CONFIG = {
  displaylogo: false, responsive: true, displayModeBar: "hover",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};

/** Text that plotly shows as it is: its own few tags and entities mean nothing in it. */
const literal = (text) => String(text).replace(/[&<>]/g, (letter) => `&#${letter.charCodeAt(0)};`);
const shown = (number) => (number === null || number === undefined ? "–" : String(Number(Number(number).toPrecision(6))));

/** Ink, grid and paper: dark where the reader has it so, and never on paper. */
function theme(printing = false) {
  const dark = DARK.matches && !printing;
  return dark ? { ink: "#e8e8e8", grid: "#3c3c3c", paper: "#16181b" } : { ink: "#222", grid: "#e4e4e4", paper: "#fff" };
}

function layout(printing) {
  const { ink, grid, paper } = theme(printing);
  const axis = { gridcolor: grid, linecolor: "#8a8a8a", zeroline: false, automargin: true };
  return {
    axis,
    base: {
      font: { family: 'system-ui, "DejaVu Sans", sans-serif', size: 13, color: ink },
      hoverlabel: { align: "left", bgcolor: paper, font: { color: ink }, namelength: -1 },
      hovermode: "closest", paper_bgcolor: paper, plot_bgcolor: paper,
      margin: { l: 60, r: 20, t: 30, b: 50 },
    },
  };
}

function trace(one, place, axes) {
  const alone = one.x.length === 1;
  return {
    type: "scatter", mode: alone ? "markers" : axes.costs.length ? "lines+markers" : "lines", x: one.x, y: one.y,
    name: literal(one.name), line: { color: data.colours[place % data.colours.length], width: 2 },
    marker: { size: alone ? 11 : 5, color: data.colours[place % data.colours.length] },
    hovertemplate: `${literal(axes.x)}: %{x:.6g}<br>${literal(axes.y)}: <b>%{y:.6g}</b>`,
  };
}

function drawChart(element, chart, printing) {
  const { axis, base } = layout(printing);
  const traces = chart.lines.map((one, place) => trace(one, chart.costs.length ? 1 : place, chart));
  if (chart.costs.length) {
    traces.unshift({
      type: "contour", x: chart.grid[0], y: chart.grid[1], z: chart.costs, colorscale: "Cividis",
      colorbar: { title: { text: "cost" } }, hovertemplate: "cost: <b>%{z:.6g}</b><extra></extra>",
    });
  }
  return Plotly.react(element, traces, {
    ...base, showlegend: traces.length > 1 && !chart.costs.length,
    xaxis: { ...axis, title: { text: literal(chart.x) } },
    yaxis: { ...axis, title: { text: literal(chart.y) }, ...(chart.log ? { type: "log", tickformat: "~g" } : {}) },
  }, CONFIG);
}

function drawCharts(printing = false) {
  for (const [name, charts] of Object.entries(data.charts)) {
    charts.forEach((chart, place) => drawChart(document.getElementById(`${name}-${place}`), chart, printing));
  }
}
