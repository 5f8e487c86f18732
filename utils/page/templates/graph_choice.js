// What a proportion and a rule choose in a graph, as utils/graph/selection.py chooses it. Data: utils/page/graph_data.py
const SVG = "http://www.w3.org/2000/svg";
const FOLLOWED = 3; // connections of a channel, of those that light its paths

// as selection.essential_channels: at least one, and 100 * 0.29 is 28.999… in floating point
const countOf = (channels, proportion) => Math.max(1, Math.trunc(channels * proportion + 1e-9));

function choose(data, proportion, rule) {
  const forgotten = new Set(data.forgotten), all = data.attributes.length;
  return data.layers.map((layer) => {
    const size = layer.channels, count = countOf(size, proportion);
    const essential = layer.orders.map((order) => new Set(order.slice(0, count)));
    const votes = new Array(size).fill(0), target = new Uint8Array(size), kept = new Uint8Array(size);
    essential.forEach((own, attribute) => {
      for (const channel of own) {
        votes[channel] += forgotten.has(attribute) ? all : -1;
        (forgotten.has(attribute) ? target : kept)[channel] = 1;
      }
    });
    const groups = votes.map((_, c) => target[c] ? (kept[c] ? "shared" : "target") : (kept[c] ? "others" : "none"));
    const goes = votes.map((vote, c) => rule === "released" ? vote > all - 1
      : Boolean(target[c] && (rule === "no_balance" || !kept[c])));
    return { essential, votes, groups, goes };
  });
}

// rank of each channel for each attribute; null for a channel that has the score of an earlier one, as released
function ranksOf(layer) {
  return layer.orders.map((order) => {
    const rank = new Array(layer.channels).fill(null);
    order.forEach((channel, place) => { if (rank[channel] === null) rank[channel] = place; });
    return rank;
  });
}

// channels of a layer, those first that a target needs most
function orderOf(layer, ranks, forgotten) {
  const best = (channel) => Math.min(...forgotten.map((target) => ranks[target][channel] ?? layer.channels));
  return [...Array(layer.channels).keys()].sort((a, b) => best(a) - best(b) || a - b);
}

// from one channel up and down, at each step the strongest connections of every channel reached
function pathsFrom(start, edges) {
  const lit = new Set([start.join(":")]), found = new Set();
  for (const [from, to] of [[0, 2], [2, 0]]) {
    let front = [start];
    while (front.length) {
      const next = [];
      for (const [layer, channel] of front) {
        const own = edges.filter((edge) => edge[from] === layer && edge[from + 1] === channel).slice(0, FOLLOWED);
        for (const edge of own) {
          const end = [edge[to], edge[to + 1]];
          found.add(edge);
          if (!lit.has(end.join(":"))) { lit.add(end.join(":")); next.push(end); }
        }
      }
      front = next;
    }
  }
  return [lit, [...found]];
}

const number = (value) => value.toLocaleString("en");
const signed = (value) => (value > 0 ? "+" : value < 0 ? "\u2212" : "") + Math.abs(value);
// an element of an SVG
const make = (tag, attributes = {}, text) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
// a cell of a table
const cell = (row, tag, text, className) => {
  const element = row.appendChild(document.createElement(tag));
  element.textContent = text;
  if (className) element.className = className;
  if (tag === "th") element.scope = "row";
  return element;
};
