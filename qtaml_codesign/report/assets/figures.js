"use strict";
// The figures of a run. Texts of users pass through `plain`, as plotly reads a few tags in labels.
const figures = (() => {
  const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "pentagon", "star"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "8px 2px"];
  const INK = "#1c2733", SOFT = "#5b6875", LINE = "#dfe5ea", TARGET = "#b00020", HERE = "#6b4fa0";
  const FONT = { family: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif", size: 13, color: INK };

  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const symbol = (curve) => SYMBOLS[curve.style % SYMBOLS.length];
  const dash = (curve) => DASHES[curve.style % DASHES.length];
  const shade = (colour, share) => {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${share})`;
  };

  const axis = (title, more) => ({
    title: { text: title, standoff: 8 }, gridcolor: LINE, linecolor: SOFT, zeroline: false, ticks: "outside",
    tickcolor: SOFT, automargin: true, ...more,
  });

  const layout = (x, y, more) => ({
    font: FONT, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff", height: 380, autosize: true,
    margin: { l: 60, r: 18, t: 30, b: 50 }, hovermode: "closest", hoverlabel: { font: { size: 13 }, align: "left" },
    legend: { orientation: "h", y: -0.22, yanchor: "top", x: 0, font: { size: 12 } }, xaxis: x, yaxis: y, ...more,
  });

  const draw = (place, traces, shape) => Plotly.react(place, traces, shape, {
    responsive: true, displaylogo: false, displayModeBar: "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  });

  const vertical = (x, colour) => ({
    type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: colour, width: 1.5, dash: "dot" },
  });
  const level = (y, colour) => ({
    type: "line", y0: y, y1: y, xref: "paper", x0: 0, x1: 1, line: { color: colour, width: 1.5, dash: "dash" },
  });
  const label = (x, y, text, colour, more) => ({ x, y, text, showarrow: false, font: { color: colour, size: 12 }, ...more });

  // From the thinnest oxide to a little beyond the thickest one at which a curve is halfway to the target
  const bend = (run) => {
    const [low, high] = run.ends_nm, lost = Math.abs(run.clean - run.threshold) / 2;
    const bent = run.curves.flatMap(({ points }) => points.nm.filter((_, i) => Math.abs(points.value[i] - run.clean) > lost));
    const last = Math.max(low, ...bent);
    return [low, last > low ? Math.min(high, last + 0.25 * (last - low)) : high];
  };

  // The metric against thickness at the window of the slider: chosen curves with their bands, the others faint
  const metric = (place, run, curves, state) => {
    const traces = [];
    for (const { curve, chosen, nm } of curves) {
      const { value, low, high, p, trials } = curve.points;
      const name = `${plain(curve.label)}, ${plain(curve.spent)}`;
      if (chosen) {
        traces.push({ x: [...nm, ...[...nm].reverse()], y: [...high, ...[...low].reverse()], fill: "toself",
          fillcolor: shade(curve.colour, 0.16), line: { width: 0 }, hoverinfo: "skip", showlegend: false, mode: "lines" });
      }
      traces.push({
        x: nm, y: value, name, mode: chosen ? "lines+markers" : "lines", showlegend: chosen, opacity: chosen ? 1 : 0.2,
        line: { color: curve.colour, dash: chosen ? dash(curve) : "solid", width: chosen ? 2.5 : 1.2 },
        marker: { symbol: symbol(curve), size: 7, color: curve.colour },
        customdata: nm.map((_, i) => [low[i], high[i], p[i], trials[i]]),
        hovertemplate: `<b>${name}</b><br>%{x:.4f} nm, p = %{customdata[2]:.3g}<br>${plain(run.metric)} %{y:.4g} ` +
          "[%{customdata[0]:.4g}, %{customdata[1]:.4g}]<br>%{customdata[3]} trials<extra></extra>",
      });
    }
    traces.sort((one, two) => (one.opacity ?? 1) - (two.opacity ?? 1));
    const shapes = [level(run.threshold, TARGET), level(run.clean, SOFT), vertical(state.nm, HERE)];
    const notes = [
      label(1, run.threshold, "target", TARGET, { xref: "paper", xanchor: "right", yanchor: "top" }),
      label(1, run.clean, "clean", SOFT, { xref: "paper", xanchor: "right", yanchor: "bottom" }),
    ];
    const shown = bend(run).map((end) => state.moved(end)), room = 0.02 * (shown[1] - shown[0]) || 0.01;
    draw(place, traces, layout(axis("oxide thickness (nm)", { range: [shown[0] - room, shown[1] + room] }),
      axis(plain(run.metric)), { shapes, annotations: notes }));
  };

  // The thinnest oxide against what is spent, at the window of the slider
  const frontier = (place, run, answers, state, cells) => {
    const traces = [];
    const methods = [...new Set(answers.map(({ answer }) => answer.method))];
    for (const method of methods) {
      const rows = answers.filter(({ answer }) => answer.method === method && answer.status === "crossing");
      const curve = run.curves.find((one) => one.method === method);
      const spent = rows.map(({ answer }) => (cells ? answer.amount : 100 * answer.overhead));
      const side = (end) => rows.map(({ nm, ends }) => (ends[end] === null ? 0 : Math.abs(ends[end] - nm)));
      traces.push({
        x: spent, y: rows.map(({ nm }) => nm), name: plain(curve.label), mode: "lines+markers",
        line: { color: curve.colour, dash: dash(curve), width: 2.2 },
        marker: { symbol: symbol(curve), color: curve.colour, opacity: 1,
          size: rows.map(({ chosen }) => (chosen ? 13 : 8)),
          line: { color: rows.map(({ chosen }) => (chosen ? HERE : curve.colour)), width: 2.5 } },
        error_y: { type: "data", symmetric: false, array: side(1), arrayminus: side(0), color: curve.colour, thickness: 1.3 },
        customdata: rows.map(({ answer, ends }) => [ends[0] ?? "open", ends[1] ?? "open", answer.p, plain(answer.spent)]
          .map((one) => (typeof one === "number" ? one.toPrecision(5) : one))),
        hovertemplate: `<b>${plain(curve.label)}, %{customdata[3]}</b><br>%{y:.4f} nm [%{customdata[0]}, ` +
          `%{customdata[1]}]<br>${cells ? "%{x:.3g} cells per weight" : "%{x:.3g} % of bits protected"}, ` +
          "p = %{customdata[2]}<extra></extra>",
      });
    }
    const title = cells ? "cells per weight" : "ECC overhead (% of stored bits)";
    draw(place, traces, layout(axis(title, { rangemode: "tozero" }), axis("thinnest oxide (nm)"),
      { shapes: [level(state.nm, HERE)], annotations: [
        label(1, state.nm, "slider", HERE, { xref: "paper", xanchor: "right", yanchor: "bottom" })] }));
  };

  // p_flip against thickness at the window of the slider, and at the card's
  const flips = (place, run, flip, state) => {
    const [low, high] = run.ends_nm, nm = Array.from({ length: 121 }, (_, i) => low + (i / 120) * (high - low));
    const log10 = (s) => nm.map((one) => flip.logFlip(one, s) / Math.LN10);
    const power = "p = 10<sup>%{y:.2f}</sup> at %{x:.4f} nm<extra></extra>";
    const here = flip.logFlip(state.nm, state.s) / Math.LN10;
    const traces = [
      { x: nm, y: log10(run.window_s), name: "window of the card", mode: "lines", hovertemplate: power,
        line: { color: SOFT, width: 1.5, dash: "dot" } },
      { x: nm, y: log10(state.s), name: "window of the slider", mode: "lines", hovertemplate: power,
        line: { color: HERE, width: 2.5 } },
      { x: [state.nm], y: [here], name: "slider", mode: "markers", hovertemplate: power, showlegend: false,
        marker: { color: HERE, size: 12, symbol: "diamond" } },
    ];
    draw(place, traces, layout(axis("oxide thickness (nm)"), axis("log<sub>10</sub> p<sub>flip</sub>"),
      { shapes: [vertical(state.nm, HERE)] }));
  };

  // The frontiers of all runs in one figure, each at its own window
  const together = (place, runs) => {
    const traces = runs.flatMap((run, which) => {
      const methods = [...new Set(run.answers.filter((one) => !one.cells).map((one) => one.method))];
      return methods.map((method) => {
        const rows = run.answers.filter((one) => one.method === method && one.status === "crossing" && !one.cells);
        const curve = run.curves.find((one) => one.method === method);
        return {
          x: rows.map((one) => 100 * one.overhead), y: rows.map((one) => one.nm), mode: "lines+markers",
          name: `${plain(run.title)}: ${plain(curve.label)}`,
          line: { color: ["#004488", "#d55e00", "#117733", "#8a2b6b", "#66b3e6", "#e69f00"][which % 6], dash: dash(curve) },
          marker: { symbol: symbol(curve), size: 8 },
          hovertemplate: `<b>${plain(run.title)}</b><br>${plain(curve.label)}: %{y:.4f} nm at %{x:.3g} %<extra></extra>`,
        };
      });
    });
    draw(place, traces, layout(axis("ECC overhead (% of stored bits)", { rangemode: "tozero" }),
      axis("thinnest oxide (nm)"), { height: 420 }));
  };

  return { metric, frontier, flips, together };
})();
