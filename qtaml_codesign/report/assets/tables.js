"use strict";
// Elements made of text alone: nothing that a run holds is ever read as markup.
const make = (tag, options = {}, ...inside) => {
  const { text, ...rest } = options;
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(rest)) found.setAttribute(name, value);
  if (text !== undefined) found.textContent = text;
  found.append(...inside);
  return found;
};

const tables = (() => {
  const cell = (tag, inside, more = {}) =>
    inside instanceof Node ? make(tag, more, inside) : make(tag, { ...more, text: inside ?? "" });

  const table = (caption, columns, rows, texts = []) => {
    const style = (place) => (texts.includes(place) ? { class: "words" } : {});
    const head = make("tr", {}, ...columns.map((name, i) => cell("th", name, { scope: "col", ...style(i) })));
    const body = rows.map((row) => make("tr", {}, ...row.map((one, i) =>
      cell(i ? "td" : "th", one, { ...(i ? {} : { scope: "row" }), ...style(i) }))));
    const scroll = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      make("table", { "aria-label": caption }, make("thead", {}, head), make("tbody", {}, ...body)));
    return make("div", { class: "table" }, make("p", { class: "caption", text: caption }), scroll);
  };

  const number = (value, digits = 4) => (value === null || value === undefined ? "–" : Number(value).toPrecision(digits));

  // A number of a card as a person would write it
  const written = (value) => {
    if (Array.isArray(value)) return value.map(written).join(", ");
    const size = Math.abs(value);
    return typeof value === "number" && value && (size >= 1e6 || size < 1e-4) ? value.toExponential() : String(value);
  };

  // Bit planes of a layer from the most significant one: what is protected is filled
  const planes = (layer) => {
    const words = `${layer.depth} of ${layer.bits}${layer.deeper ? `, one more on ${layer.deeper} weights` : ""}`;
    const squares = Array.from({ length: layer.bits }, (_, i) =>
      make("i", { class: layer.planes.includes(layer.bits - 1 - i) ? "kept" : "open" }));
    return make("span", { class: "planes" }, make("span", { class: "squares", "aria-hidden": "true" }, ...squares),
      make("span", { text: words }));
  };

  const plan = (found) => {
    const most = Math.max(...found.layers.map((layer) => layer.score ?? 0));
    const bar = (score) => (score === null ? "–" : make("span", { class: "score" },
      make("i", { style: `width:${(most ? (60 * score) / most : 0).toFixed(1)}px`, "aria-hidden": "true" }),
      make("span", { text: number(score, 3) })));
    const rows = found.layers.map((layer) => [layer.name, layer.weights.toLocaleString("en"), number(layer.gain, 3),
      bar(layer.score), layer.store ?? planes(layer), layer.store ? "–" : layer.corrected ? "yes" : "no"]);
    const caption = `${found.label} at ${found.spent}: the plan at ${number(found.nm, 5)} nm (p = ${found.p}), ` +
      `${found.overhead} % protected, ${found.cells_per_weight} cells per weight` +
      (found.saturation ? `, ρ* = ${found.saturation}` : "");
    return table(caption, ["layer", "weights", "gain J", "score", "protected planes, MSB first", "mean corrected"], rows, [0]);
  };

  const answers = (run) => table(
    `Thinnest oxide that keeps ${run.target} at the window of the card`,
    ["method", "may spend", "thinnest oxide (nm), interval over drawings", "over evaluation samples", "p there", "% protected"],
    run.answers.map((one) => [one.label, one.spent, ...one.text]), [0]);

  const card = (run) => table("Every number of the card", ["field", "value", "unit", "range", "kind", "source"],
    run.card.map(([field, value, unit, low, high, kind, source]) => [field,
      written(value), unit,
      low === null && high === null ? "" : `${low === null ? "open" : written(low)} to ${high === null ? "open" : written(high)}`, kind, source]), [0, 1, 4, 5]);

  return { table, plan, answers, card, number };
})();
