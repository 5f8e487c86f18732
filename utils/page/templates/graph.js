// The graph to play with, drawn and recoloured live; what is chosen stands in graph_choice.js
const PITCH = 11, HEAD = 22, GAP = 34, PAD = 8, SHOWN = 260;
const LABELS = { target: "essential to the target only", shared: "essential to the target and a kept attribute",
                 others: "essential to kept attributes only", none: "not essential" };

function start(root) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const find = (selector) => root.querySelector(selector);
  const slider = find("[data-slider]"), exact = find("[data-exact]"), search = find("[data-search]");
  const stage = find("[data-stage]"), details = find("[data-details]"), svg = find("svg.network");
  const forgotten = new Set(data.forgotten);
  const shown = data.layers.map(() => true);
  const ranks = data.layers.map(ranksOf);
  const orders = data.layers.map((layer, l) => orderOf(layer, ranks[l], data.forgotten));
  const places = orders.map((order) => { const at = []; order.forEach((c, i) => { at[c] = i; }); return at; });
  const dots = data.layers.map(() => []);
  let chosen = [], spots = [], columns = 1, cursor = null, pinned = null;

  const rule = () => root.querySelector("[data-rule]:checked").value;
  const isShare = (value) => value > 0 && value <= 1;
  const proportion = () => Number(isShare(Number(exact.value)) ? exact.value : slider.value);

  function layOut() {
    const width = Math.max(240, stage.clientWidth - 2);
    columns = Math.floor((width - 2 * PAD) / PITCH);
    let top = 4;
    svg.replaceChildren(make("g", { class: "edges" }), make("g", { class: "paths" }), make("g", { class: "dots" }));
    const group = svg.querySelector(".dots");
    spots = data.layers.map((layer, l) => {
      dots[l] = [];
      if (!shown[l]) return null;
      const spot = { top: top + HEAD, rows: Math.ceil(layer.channels / columns) };
      const title = make("text", { x: PAD, y: top + 14, class: "layer" });
      const most = Math.max(12, Math.floor(width / 7.5) - 26);
      title.textContent = layer.name.length > most ? layer.name.slice(0, most - 1) + "\u2026" : layer.name;
      title.appendChild(make("tspan", { class: "soft", dx: 10 }));
      group.appendChild(title);
      spot.note = title.lastChild;
      orders[l].forEach((channel) => {
        const [x, y] = placeIn(spot, places[l][channel]);
        dots[l][channel] = group.appendChild(make("circle", { cx: x, cy: y, r: 2 }));
      });
      top = spot.top + spot.rows * PITCH + GAP;
      return spot;
    });
    const height = Math.max(40, top - GAP + 10);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
  }

  const placeIn = (spot, place) => [PAD + PITCH * (place % columns) + PITCH / 2,
                                    spot.top + PITCH * Math.floor(place / columns) + PITCH / 2];
  const placeOf = (l, channel) => placeIn(spots[l], places[l][channel]);
  const visible = (edge) => shown[edge[0]] && shown[edge[2]]
    && chosen[edge[0]].essential[edge[4]].has(edge[1]) && chosen[edge[2]].essential[edge[4]].has(edge[3]);

  function curve(edge, largest, className) {
    const [x1, y1] = placeOf(edge[0], edge[1]), [x2, y2] = placeOf(edge[2], edge[3]);
    const middle = (y1 + y2) / 2, strength = Math.abs(edge[5]) / largest;
    return make("path", { d: `M${x1},${y1}C${x1},${middle} ${x2},${middle} ${x2},${y2}`,
      class: `${className} ${forgotten.has(edge[4]) ? "for-target" : "for-kept"}`,
      "stroke-width": (0.5 + 1.7 * strength).toFixed(2), "stroke-opacity": (0.12 + 0.6 * strength).toFixed(2) });
  }

  function recolour() {
    chosen = choose(data, proportion(), rule());
    const tally = new Map(), sums = { target: 0, shared: 0, others: 0, none: 0 };
    let gone = 0, total = 0;
    const body = find("[data-layers]");
    body.replaceChildren();
    chosen.forEach((layer, l) => {
      const counts = { target: 0, shared: 0, others: 0, none: 0 };
      let goes = 0;
      layer.groups.forEach((group, c) => {
        counts[group] += 1;
        sums[group] += 1;
        goes += layer.goes[c];
        tally.set(layer.votes[c], (tally.get(layer.votes[c]) ?? 0) + 1);
        const dot = dots[l][c];
        if (dot) {
          dot.setAttribute("class", group + (layer.goes[c] ? " goes" : ""));
          dot.setAttribute("r", group === "none" ? 1.7 : layer.goes[c] ? 4.1 : 3.6);
        }
      });
      gone += goes;
      total += layer.goes.length;
      if (spots[l]) spots[l].note.textContent = `${number(goes)} of ${number(layer.goes.length)} would go`;
      const row = body.appendChild(document.createElement("tr"));
      cell(row, "th", data.layers[l].name);
      for (const value of [layer.goes.length, counts.target, counts.shared, counts.others, goes]) {
        cell(row, "td", number(value), "number");
      }
    });
    find("[data-count]").textContent = number(gone);
    find("[data-total]").textContent = `of ${number(total)} channels would go (${(100 * gone / total).toFixed(1)} %)`;
    const votes = [...tally].sort((a, b) => b[0] - a[0]).slice(0, 12);
    find("[data-votes]").textContent = votes.map(([vote, count]) => `${signed(vote)}: ${number(count)}`).join(" · ");
    for (const [group, count] of Object.entries(sums)) {
      const place = find(`[data-sum=${group}]`);
      if (place) place.textContent = number(count);
    }
    drawEdges();
    light();
    if (cursor) describe(cursor);
  }

  function drawEdges() {
    const edges = data.edges.filter(visible).slice(0, SHOWN);
    const largest = Math.max(...edges.map((edge) => Math.abs(edge[5])), 1e-30);
    svg.querySelector(".edges").replaceChildren(...edges.reverse().map((edge) => curve(edge, largest, "edge")));
    find("[data-edges]").textContent = edges.length
      ? `Drawn: the ${number(edges.length)} strongest connections of ${number(data.edges_in_file)} in the graph's file.`
      : "No connection is known between the channels that are essential now.";
  }

  function light() {
    const paths = svg.querySelector(".paths");
    svg.classList.toggle("lit", Boolean(pinned && shown[pinned[0]]));
    find("[data-clear]").hidden = !pinned;
    svg.querySelectorAll("circle.on").forEach((dot) => dot.classList.remove("on"));
    paths.replaceChildren();
    if (!pinned || !shown[pinned[0]]) return;
    const [lit, edges] = pathsFrom(pinned, data.edges.filter(visible));
    const largest = Math.max(...edges.map((edge) => Math.abs(edge[5])), 1e-30);
    paths.replaceChildren(...edges.map((edge) => curve(edge, largest, "path")));
    for (const key of lit) {
      const [l, c] = key.split(":").map(Number);
      dots[l][c]?.classList.add("on");
    }
  }

  function describe([l, channel]) {
    const layer = chosen[l], group = layer.groups[channel];
    const head = document.createElement("p"), table = document.createElement("table");
    const strong = head.appendChild(document.createElement("strong"));
    strong.textContent = `${data.layers[l].name}, channel ${channel}`;
    head.append(` \u2013 ${LABELS[group]}; ${layer.goes[channel] ? "would go" : "stays"}; vote ${signed(layer.votes[channel])}.`);
    const titles = table.createTHead().insertRow();
    for (const title of ["attribute", "score", "rank", "essential"]) {
      cell(titles, "th", title, title === "score" || title === "rank" ? "number" : "").scope = "col";
    }
    const body = table.createTBody();
    const attributes = data.attributes.map((_, k) => k);
    attributes.sort((a, b) => forgotten.has(b) - forgotten.has(a) || ranks[l][a][channel] - ranks[l][b][channel]);
    for (const k of attributes.slice(0, 8)) {
      const row = body.insertRow(), rank = ranks[l][k][channel], scores = data.layers[l].scores;
      const name = cell(row, "th", "");
      name.appendChild(document.createElement("bdi")).textContent = data.attributes[k].replaceAll("_", " ");
      cell(row, "td", scores ? scores[k][channel].toPrecision(3) : "\u2013", "number");
      cell(row, "td", rank === null ? "tied" : `${number(rank + 1)} of ${number(data.layers[l].channels)}`, "number");
      cell(row, "td", layer.essential[k].has(channel) ? "yes" : "no");
    }
    details.replaceChildren(head, table);
    svg.querySelector("circle.here")?.classList.remove("here");
    dots[l][channel]?.classList.add("here");
  }

  function show(spot) {
    cursor = spot;
    describe(spot);
  }

  function pin(spot) {
    pinned = pinned && pinned[0] === spot[0] && pinned[1] === spot[1] ? null : spot;
    light();
  }

  function under(event) {
    const box = svg.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const l = spots.findIndex((spot) => spot && y >= spot.top - 2 && y < spot.top + spot.rows * PITCH + 2);
    if (l < 0) return null;
    const row = Math.max(0, Math.min(spots[l].rows - 1, Math.floor((y - spots[l].top) / PITCH)));
    const place = row * columns + Math.max(0, Math.min(columns - 1, Math.floor((x - PAD) / PITCH)));
    return place < orders[l].length ? [l, orders[l][place]] : null;
  }

  function step(l, place, by) {
    const next = place + by;
    if (next >= 0 && next < orders[l].length) return [l, next];
    for (let other = l + Math.sign(by); other >= 0 && other < spots.length; other += Math.sign(by)) {
      if (spots[other]) return [other, Math.min(place % columns, orders[other].length - 1)];
    }
    return [l, place];
  }

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const first = spots.findIndex(Boolean);
    if (first < 0) return;
    const [l, channel] = cursor && spots[cursor[0]] ? cursor : [first, orders[first][0]];
    const place = places[l][channel];
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: 1e9, PageUp: -1e9 };
    if (event.key in moves) {
      const [to, at] = step(l, place, moves[event.key]);
      show([to, orders[to][at]]);
    } else if (event.key === "Home" || event.key === "End") {
      show([l, orders[l][event.key === "Home" ? 0 : orders[l].length - 1]]);
    } else if (event.key === "Enter" || event.key === " ") {
      show([l, channel]);
      pin([l, channel]);
    } else if (event.key === "Escape") {
      pinned = null;
      light();
    } else {
      return;
    }
    event.preventDefault();
  });
  stage.addEventListener("focus", () => {
    const first = spots.findIndex(Boolean);
    if (!cursor && first >= 0 && stage.matches(":focus-visible")) show([first, orders[first][0]]);
  });
  svg.addEventListener("pointermove", (event) => { const spot = under(event); if (spot) show(spot); });
  svg.addEventListener("click", (event) => {
    const spot = under(event);
    if (spot) { show(spot); pin(spot); }
  });
  slider.addEventListener("input", () => {
    exact.value = String(Number(slider.value));
    exact.removeAttribute("aria-invalid");
    recolour();
  });
  exact.addEventListener("input", () => {
    const good = isShare(Number(exact.value));
    if (good) exact.removeAttribute("aria-invalid"); else exact.setAttribute("aria-invalid", "true");
    if (good) { slider.value = exact.value; recolour(); }
  });
  root.querySelectorAll("[data-rule]").forEach((button) => button.addEventListener("change", recolour));
  find("[data-clear]").addEventListener("click", () => { pinned = null; light(); stage.focus(); });
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    data.layers.forEach((layer, l) => { shown[l] = layer.name.toLowerCase().includes(wanted); });
    find("[data-none]").hidden = shown.some(Boolean);
    layOut();
    recolour();
  });
  let width = 0;
  new ResizeObserver(() => {
    if (stage.clientWidth === width) return;
    width = stage.clientWidth;
    layOut();
    recolour();
  }).observe(stage);
}

document.querySelectorAll("[data-graph]").forEach(start);
