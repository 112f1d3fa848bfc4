"use strict";
(() => {
  const told = JSON.parse(document.getElementById("content").textContent);
  const main = document.querySelector("main"), side = make("div", { class: told.runs.length > 1 ? "runs several" : "runs" });
  document.title = `${told.runs.map((run) => run.title).join(" | ")}: how thin may the oxide be?`;
  const shown = told.runs.map(showRun);
  side.append(...shown.map(({ article }) => article));
  const drawings = shown.flatMap((one) => one.drawings);
  if (told.runs.length > 1) {
    const place = make("div", { class: "drawing" });
    main.append(make("section", { class: "compared" }, make("h2", { text: "Side by side" }),
      tables.table("The best answer of each run", told.compared.columns, told.compared.rows, [0, 1, 3]),
      ...(told.runs.some((run) => run.answers.some((one) => one.status === "crossing" && !one.cells)) ? [make("figure", {},
        make("figcaption", { text: "Thinnest oxide against ECC overhead, each run at the window of its card" }), place)] : [])));
    drawings.push(place);
  }
  main.append(side, make("footer", { text: `Written by ${told.program}. Figures by plotly.js. This page loads nothing from any other place.` }));
  if (told.runs.length > 1 && drawings.at(-1).isConnected) figures.together(drawings.at(-1), told.runs);
  for (const { update } of shown) update();
  const wide = (width) => drawings.filter((one) => one.isConnected).forEach((one) => Plotly.relayout(one, { width, autosize: !width }));
  window.addEventListener("beforeprint", () => wide(640));
  window.addEventListener("afterprint", () => wide(null));
})();
