// The tables of attacks: a cell says on a click, or on Enter, what was found there. Data: utils/page/tables.py
(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 420, LEFT = 4, RIGHT = 416, ROW = 34;

  const add = (parent, tag, attributes = {}, text) => {
    const element = parent.appendChild(document.createElementNS(SVG, tag));
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // AUC of each network with its interval, on one axis
  function drawFigures(figures) {
    const ends = figures.flatMap((figure) => [figure.value, figure.low ?? figure.value, figure.high ?? figure.value]);
    const low = Math.min(0.5, ...ends), high = Math.max(1, ...ends);
    const place = (value) => LEFT + (value - low) / (high - low) * (RIGHT - LEFT);
    const height = ROW * figures.length + 24;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    svg.setAttribute("class", "forest");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", figures.map((f) => `${f.network}: AUC ${f.value.toFixed(3)}`).join(", "));
    for (const tick of [0.5, 0.6, 0.7, 0.8, 0.9, 1]) {
      add(svg, "line", { x1: place(tick), x2: place(tick), y1: 0, y2: height - 20, class: "grid" });
      const anchor = tick === 0.5 && low === 0.5 ? "start" : tick === 1 && high === 1 ? "end" : "middle";
      add(svg, "text", { x: place(tick), y: height - 6, "text-anchor": anchor, class: "tick" }, String(tick));
    }
    figures.forEach((figure, row) => {
      const y = ROW * row + 24, right = place(figure.value) > WIDTH * 0.55;
      const group = add(svg, "g", { class: `net-${figure.kind}` });
      if (figure.low !== null) add(group, "line", { x1: place(figure.low), x2: place(figure.high), y1: y, y2: y, class: "bar" });
      add(group, "circle", { cx: place(figure.value), cy: y, r: 5, class: "mark" });
      add(svg, "text", { x: right ? RIGHT : LEFT, y: y - 11, "text-anchor": right ? "end" : "start", class: "label" },
          `${figure.network} ${figure.value.toFixed(3)}`);
    });
    return svg;
  }

  function start(root) {
    const cells = JSON.parse(root.querySelector("script").textContent);
    const panel = root.querySelector("[data-details]");
    root.querySelectorAll("button[data-cell]").forEach((button) => button.addEventListener("click", () => {
      const was = button.getAttribute("aria-expanded") === "true";
      root.querySelectorAll("button[data-cell]").forEach((other) => other.setAttribute("aria-expanded", "false"));
      button.setAttribute("aria-expanded", String(!was));
      panel.replaceChildren();
      panel.hidden = was;
      if (was) return;
      const cell = cells[Number(button.dataset.cell)];
      const title = panel.appendChild(document.createElement("p"));
      title.appendChild(document.createElement("strong")).textContent = cell.title;
      panel.appendChild(document.createElement("p")).textContent = cell.sentence;
      if (cell.figures.length) panel.appendChild(drawFigures(cell.figures));
      const list = panel.appendChild(document.createElement("ul"));
      for (const fact of cell.facts) list.appendChild(document.createElement("li")).textContent = fact;
      if (cell.curve) {
        const link = list.appendChild(document.createElement("li")).appendChild(document.createElement("a"));
        link.href = "#curves";
        link.textContent = "the whole curve, image by image";
      }
    }));
    root.querySelectorAll("[data-show]").forEach((button) => button.addEventListener("change", () => {
      root.classList.toggle("show-information", button.value === "information");
    }));
  }

  document.querySelectorAll("[data-heat]").forEach(start);
})();
