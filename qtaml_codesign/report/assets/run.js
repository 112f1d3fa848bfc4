"use strict";
// One run: its answer, its sliders, and what follows from them.
const showRun = (run, which) => {
  const flip = chain.law(run.flips), id = (name) => `run${which}-${name}`;
  const amounts = [...new Map(run.curves.map((one) => [`${one.cells} ${one.amount}`, one])).values()]
    .sort((one, two) => one.cells - two.cells || one.amount - two.amount);
  const alone = (curve) => run.curves.filter((one) => one.method === curve.method).length === 1;
  const [low, high] = run.ends_nm, [least, most] = run.flips.ends_s.map(Math.log10), own = Math.log10(run.window_s);
  const step = 10 ** Math.floor(Math.log10((high - low) / 400 || 1e-3));

  const start = () => {
    const best = run.answers.filter((one) => one.status === "crossing" && one.method === run.curves[0].method)
      .sort((one, two) => one.nm - two.nm)[0] ?? run.answers[0];
    const place = amounts.findIndex((one) => one.cells === best.cells && one.amount === best.amount);
    return { nm: best.status === "crossing" ? best.nm : 0.5 * (low + high), amount: Math.max(place, 0) };
  };
  const first = start();

  const slider = (name, words, limits, value) => {
    const input = make("input", { type: "range", id: id(name), ...limits });
    input.value = value;
    const output = make("output", { for: id(name), id: id(`${name}-value`) });
    const row = make("div", { class: "slider" }, make("label", { for: id(name), text: words }), output, input);
    return { input, output, row };
  };
  const thickness = slider("thickness", "Oxide thickness", { min: low, max: high, step }, first.nm);
  const window_ = slider("window", "Inference window", { min: least, max: most, step: "any" }, own);
  const budget = slider("budget", run.curves.some((one) => one.cells) ? "Budget or cells" : "ECC budget",
    { min: 0, max: Math.max(amounts.length - 1, 0), step: 1 }, first.amount);
  const reset = make("button", { type: "button", text: "Back to the answer" });

  const chance = make("output", { class: "chance", id: id("flips"), for: `${id("thickness")} ${id("window")}`, "aria-live": "polite" });
  const here = make("div", { class: "here" }), plans = make("div", { class: "plans" });
  const cells = run.answers.some((one) => one.cells), bits = run.answers.some((one) => !one.cells);
  const figure = (words) => {
    const place = make("div", { class: "drawing" });
    return { place, element: make("figure", {}, make("figcaption", { text: words }), place) };
  };
  const drawn = {
    metric: figure(`${run.metric} against oxide thickness at this window; shaded: ${100 * run.confidence} % intervals over trials`),
    ...(bits ? { bits: figure("Thinnest oxide against ECC overhead at this window, with intervals over drawings") } : {}),
    ...(cells ? { cells: figure("Thinnest oxide against cells per weight at this window, with intervals over drawings") } : {}),
    flips: figure("Flip probability against oxide thickness"),
  };

  const seconds = (s) => {
    const [size, unit] = [[1e-12, "ps"], [1e-9, "ns"], [1e-6, "µs"], [1e-3, "ms"], [1, "s"]].filter(([one]) => s >= one * 0.9995)
      .pop() ?? [1e-12, "ps"];
    return `${Number((s / size).toPrecision(3))} ${unit}`;
  };
  const scientific = (logP) => {
    if (logP > Math.log(1e-3)) return Math.exp(logP).toPrecision(4);
    const ten = logP / Math.LN10, power = Math.floor(ten);
    return `${(10 ** (ten - power)).toFixed(3)} × 10^${power}`;
  };

  const state = () => {
    const written = Number(window_.input.value);
    const s = Math.abs(written - own) < 1e-9 ? run.window_s : 10 ** written;
    const nm = Number(thickness.input.value), chosen = amounts[Number(budget.input.value)];
    // where a thickness that was measured at the card's window goes, so that p stays
    const moved = (one) => (s === run.window_s || run.apart ? one : flip.thickness(flip.logFlip(one, run.window_s), s) ?? NaN);
    return { s, nm, chosen, moved, logP: flip.logFlip(nm, s) };
  };
  const isChosen = (one, chosen) => alone(one) || (one.cells === chosen.cells && one.amount === chosen.amount);

  // The value of a curve on the straight line between its measured points; null outside of them
  const between = (nm, places, values) => {
    for (let i = 1; i < places.length; i++) {
      if (places[i - 1] <= nm && nm <= places[i]) {
        const share = (nm - places[i - 1]) / (places[i] - places[i - 1] || 1);
        return values[i - 1] === null || values[i] === null ? null : values[i - 1] + share * (values[i] - values[i - 1]);
      }
    }
    return null;
  };

  const verdict = (value) => {
    if (value === null) return make("span", { class: "unknown", text: "not measured here" });
    const keeps = run.larger_is_better ? value >= run.threshold : value <= run.threshold;
    return make("span", { class: keeps ? "keeps" : "loses", text: keeps ? "✓ keeps the target" : "✗ misses the target" });
  };

  const hereTable = (now, curves, answers) => tables.table(
    `What ${now.chosen.spent} buys at ${now.nm.toFixed(run.decimals)} nm and ${seconds(now.s)}`,
    ["method", run.metric, "target", `${100 * run.confidence} % interval`, "thinnest oxide (nm)"],
    curves.filter((one) => one.chosen).map(({ curve, nm }) => {
      const known = !run.apart || now.s === run.window_s, { value, low: lows, high: highs } = curve.points;
      const [mid, down, up] = [value, lows, highs].map((one) => (known ? between(now.nm, nm, one) : null));
      const found = answers.find(({ answer }) => answer.method === curve.method && answer.amount === curve.amount);
      const thin = !found ? "–" : found.answer.status === "beyond-range" ? "thicker than measured"
        : !known || !Number.isFinite(found.nm) ? "–"
        : `${found.answer.status === "crossing" ? "" : "≤ "}${found.nm.toFixed(run.decimals)}`;
      return [curve.label, tables.number(mid), verdict(mid),
        mid === null ? "–" : `${tables.number(down)} to ${tables.number(up)}`, thin];
    }), [0, 2]);

  const update = () => {
    const now = state();
    const curves = run.curves.map((curve) => ({ curve, chosen: isChosen(curve, now.chosen), nm: curve.points.nm.map(now.moved) }));
    const answers = run.answers.map((answer) => ({ answer, chosen: isChosen(answer, now.chosen),
      nm: answer.nm === null ? null : now.moved(answer.nm),
      ends: [answer.low, answer.high].map((end) => (end === null ? null : now.moved(end))) }));
    thickness.output.textContent = `${now.nm.toFixed(run.decimals + 1)} nm`;
    window_.output.textContent = seconds(now.s);
    budget.output.textContent = now.chosen.cells ? `${now.chosen.spent} per weight` : `${now.chosen.spent} of stored bits`;
    for (const one of [thickness, window_, budget]) one.input.setAttribute("aria-valuetext", one.output.textContent);
    const text = scientific(now.logP), [digits, power] = text.split("10^");
    chance.replaceChildren(digits + (power ? "10" : ""), ...(power ? [make("sup", { text: power })] : []));
    Object.assign(chance.dataset, { logp: String(now.logP), nm: String(now.nm), seconds: String(now.s) });
    here.replaceChildren(hereTable(now, curves, answers));
    plans.replaceChildren(...run.plans.filter((one) => isChosen(one, now.chosen)).map(tables.plan));
    figures.metric(drawn.metric.place, run, curves, now);
    if (bits) figures.frontier(drawn.bits.place, run, answers.filter(({ answer }) => !answer.cells), now, false);
    if (cells) figures.frontier(drawn.cells.place, run, answers.filter(({ answer }) => answer.cells), now, true);
    figures.flips(drawn.flips.place, run, flip, now);
  };

  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; update(); });
  };
  for (const one of [thickness, window_, budget]) one.input.addEventListener("input", soon);
  reset.addEventListener("click", () => {
    [thickness.input.value, window_.input.value, budget.input.value] = [first.nm, own, first.amount];
    soon();
  });

  const exactness = run.flips.table
    ? `p is read from a Chebyshev table of ln p over thickness and window, made by the package: effects of this card have no short closed form.`
    : "p is worked out in this page: rate of escape of one electron, then the exact binomial tail.";
  const list = (lines) => make("ul", {}, ...lines.map((text) => make("li", { text })));
  const section = (title, ...inside) => make("section", {}, make("h3", { text: title }), ...inside);
  const facts = make("dl", { class: "facts" }, ...run.facts.flatMap(([name, text]) =>
    [make("div", {}, make("dt", { text: name }), make("dd", { text }))]));

  const article = make("article", { class: "run", "aria-labelledby": id("title") },
    make("h2", { id: id("title"), text: run.title }), make("p", { class: "answer", text: run.answer }), facts,
    section("Try it",
      make("div", { class: "try" },
        make("div", { class: "controls" }, thickness.row, window_.row, budget.row, reset),
        make("div", { class: "result" }, make("p", { class: "chance-line" },
          make("span", { text: "flip probability of a bit, p = " }), chance), here)),
      make("p", { class: "note", text: `${exactness} Measured error of ln p, ${seconds(run.flips.ends_s[0])} to ` +
        `${seconds(run.flips.ends_s[1])}: ${run.flips.error.toExponential(1)}. At another window each measured value ` +
        "stands where the oxide gives the same p." })),
    make("div", { class: "figures" }, ...Object.values(drawn).map(({ element }) => element)),
    section("What is protected", make("p", { class: "note", text: "Plans at the budget of the slider, at the measured " +
      "point nearest the answer." }), plans),
    section("Answers", tables.answers(run), ...(run.ranges.length ? [tables.table("What the card's own ranges leave open",
      ["method", "may spend", "thinnest oxide (nm)", "field", "its range", "thinnest oxide at its ends (nm)"], run.ranges, [0, 3])] : [])),
    section("The card", make("p", { text: run.description }), tables.card(run), list(run.sources)),
    section("Assumptions and limits", list(run.limits)),
    section("To repeat it", make("pre", { tabindex: "0" }, make("code", { text: run.command })),
      make("p", { class: "note", text: `Folder ${run.folder}; workload ${run.workload_digest.slice(0, 16)}; ` +
        Object.entries(run.versions).map((pair) => pair.join(" ")).join(", ") })));
  return { article, update, drawings: Object.values(drawn).map(({ place }) => place) };
};
