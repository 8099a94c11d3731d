// The page: what is drawn from the figures. `chart.js` stands before.

let charts = [];
function show(chart, parent) { parent.append(chart.element); charts.push(chart); chart.draw(); }

// Memory

function memory(entry) {
  const parent = document.getElementById("memory");
  parent.replaceChildren();
  const used = Object.keys(data.memories).filter(m => entry.blocks.some(b => b.memory === m));
  const made = used.map(name => {
    const blocks = entry.blocks.filter(b => b.memory === name);
    const top = Math.max(...blocks.map(b => b.offset + b.bytes));
    const rects = blocks.map(b => ({
      x0: b.first, x1: b.last + 1, y0: b.offset, y1: b.offset + b.bytes, hue: KINDS[b.kind], label: short(b.name),
      tip: `${b.name}\n${KIND_TEXT[b.kind]}, ${number(b.bytes)} bytes at ${number(b.offset)}\n` +
        `steps ${b.first} (${entry.nodes[b.first].name}) to ${b.last} (${entry.nodes[b.last].name})`,
    }));
    let step = 1;
    while (top / step > 5) step *= 2;
    const rows = [];
    for (let at = 0; at < top - step / 2; at += step) rows.push([at, number(at), true]);
    rows.push([top, number(top), true]);
    const limit = data.memories[name];
    return new Chart(name, `${number(top)} bytes used${limit ? ` of ${number(limit)}` : ""}, ${blocks.length} blocks`, {
      rects, rows, width: entry.nodes.length, height: top, flip: true, margin: 70, least: 1, offset: 0.5,
      pixels: blocks.length > 3 ? 260 : 90, mark: [entry.peak.step, entry.peak.step + 1],
    });
  });
  for (const chart of made) chart.follows = made, show(chart, parent);
  if (made.length) parent.append(legend(Object.keys(KINDS).filter(k => entry.blocks.some(b => b.kind === k)).map(k => [KIND_TEXT[k], KINDS[k]])));
  else parent.append(make("p", "nothing of this entry is in a memory of the plan", "soft"));
}

function short(name) {
  const parts = name.replaceAll("/", ".").split(".").filter(part => part && !/^\d+$/.test(part));
  return ["scratch", "constants"].includes(last(parts)) ? parts.slice(-2).join(".") : last(parts) || name;
}

// Schedule

function schedule(entry) {
  const parent = document.getElementById("schedule");
  parent.replaceChildren();
  const operators = new Map(entry.nodes.map(n => [n.name, n.op])), cycles = new Map();
  for (const n of entry.nodes) cycles.set(n.op, (cycles.get(n.op) || 0) + (n.predicted || 0));
  const order = [...cycles].filter(([, c]) => c > 0).sort((a, b) => b[1] - a[1]).map(([op]) => op);
  const hues = new Map(order.map((op, i) => [op, HUES[i % HUES.length]]));
  const width = Math.max(entry.cycles, entry.simulated || 0);
  const made = [["predicted", entry.cycles], ["simulated", entry.simulated]].filter(([side]) => entry.lanes[side]).map(([side, total]) => {
    const { names, rows } = entry.lanes[side], rects = [], busy = {}, read = {};
    Object.keys(rows).forEach((lane, at) => {
      const calls = lane === "cores", transfers = lane.startsWith("dma");
      busy[lane] = 0, read[lane] = 0;
      for (const [name, x0, x1, more] of rows[lane]) {
        const text = names[name];
        busy[lane] += x1 - x0;
        if (!calls && !transfers) read[lane] += more;
        rects.push({
          x0, x1, y0: at + (calls && more === 1 ? 0.5 : 0.1), y1: at + 0.9, label: short(text),
          hue: calls ? hues.get(operators.get(text)) ?? 210 : lane === "dma in" ? 180 : 95,
          tip: `${text}\n${transfers ? "" : operators.get(text) || ""}${calls ? (more === 1 ? ", one core" : "") : `${transfers ? "" : ", weights of "}${number(more)} bytes`}\n` +
            `${number(x1 - x0)} cycles, ${number(x0)} to ${number(x1)} (${side})`,
        });
      }
    });
    const used = Object.entries(busy).map(([lane, c]) => `${lane} ${percent(Math.min(1, c / total))}` +
      (read[lane] ? ` (weights of ${number(read[lane])} bytes, ${(read[lane] / c).toFixed(1)} a cycle)` : "")).join(", ");
    return new Chart(side, `${number(total)} cycles${side === "simulated" ? `, --timing ${data.timing}` : ""}; busy: ${used}`, {
      rects, rows: Object.keys(rows).map((lane, at) => [at + 0.62, lane, false]), width, height: Object.keys(rows).length, flip: false,
      margin: 70, pixels: 36 * Object.keys(rows).length, least: 1, offset: 0,
    });
  });
  for (const chart of made) chart.follows = made, show(chart, parent);
  parent.append(legend([...order.slice(0, 12).map(op => [op, hues.get(op)]), ["transfers to the scratchpad", 180], ["from it", 95]]));
  parent.append(make("p", "Buttons, or the wheel with Ctrl or Shift, show a part; dragging moves it.", "soft"));
}

// Tables. A column: {title, value(row), text(row), n: right-aligned number, meter(row): 0..1, title}

function grid(parent, columns, rows, { more = null, decorate = null, filter = null } = {}) {
  const frame = make("div", null, "card tall"), table = make("table"), head = make("tr"), body = make("tbody");
  const shown = columns.filter(column => !column.unless);
  let order = [...rows], wanted = "";
  const fill = () => {
    body.replaceChildren();
    for (const row of order) {
      if (wanted && !filter(row).toLowerCase().includes(wanted)) continue;
      const line = make("tr");
      for (const column of shown) {
        const cell = make("td", null, column.n ? "n" : column.name ? "name" : column.code ? "code" : "");
        const text = (column.text || (r => column.n ? number(column.value(r)) : column.value(r)))(row);
        cell.append(column.code && text ? make("code", text) : text ?? "");
        if (column.meter) {
          const meter = make("i", null, `meter${column.second ? " second" : ""}`);
          meter.style.width = `${Math.min(100, 100 * (column.meter(row) || 0)).toFixed(1)}%`;
          cell.append(meter);
        }
        line.append(cell);
      }
      if (decorate) decorate(line, row);
      if (more) {
        line.classList.add("opens");
        line.addEventListener("click", () => {
          if (line.nextSibling?.classList?.contains("more")) return line.nextSibling.remove();
          const below = make("tr", null, "more"), cell = make("td");
          cell.colSpan = shown.length;
          cell.append(...more(row));
          below.append(cell);
          line.after(below);
        });
      }
      body.append(line);
    }
  };
  for (const column of shown) {
    const cell = make("th", column.title, `${column.n ? "n " : ""}sorts`);
    if (column.about) cell.title = column.about;
    cell.addEventListener("click", () => {
      const down = cell.dataset.down === undefined ? Boolean(column.n) : cell.dataset.down !== "1";
      head.querySelectorAll("th").forEach(other => delete other.dataset.down);
      cell.dataset.down = down ? "1" : "";
      const key = row => column.value(row) ?? (column.n ? -1 : "");
      order.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) * (down ? -1 : 1));
      fill();
    });
    head.append(cell);
  }
  if (filter && rows.length > 12) {
    const search = make("input");
    search.type = "search", search.placeholder = "show only names with \u2026";
    search.setAttribute("aria-label", "show only lines with");
    search.addEventListener("input", () => { wanted = search.value.toLowerCase(); fill(); });
    parent.append(search);
  }
  const top = make("thead");
  top.append(head);
  table.append(top, body);
  frame.append(table);
  parent.append(frame);
  fill();
}

function plain(head, rows, numeric) {
  const table = make("table"), line = make("tr");
  head.forEach((text, i) => line.append(make("th", text, numeric.includes(i) ? "n" : "")));
  table.append(line);
  for (const row of rows) {
    const tr = make("tr");
    row.forEach((text, i) => tr.append(make("td", text, numeric.includes(i) ? "n" : "")));
    table.append(tr);
  }
  return table;
}

const off = row => row.simulated && row.predicted !== null ? row.predicted / row.simulated - 1 : null;

function phaseTable(entry) {
  const parent = document.getElementById("phases");
  parent.replaceChildren();
  const rows = entry.phases.map((p, step) => ({ ...p, step, predicted: p.cycles_predicted, simulated: p.cycles_simulated }));
  const real = entry.simulated !== null, most = Math.max(1, ...rows.map(p => p.simulated ?? p.predicted));
  grid(parent, [
    { title: "phase", n: true, value: p => p.step },
    { title: "nodes", value: p => p.name, code: true, name: true },
    { title: "kernel", value: p => p.kernels.join(", "), code: true },
    { title: "calls", n: true, value: p => p.tiles, about: "tiles in a row" },
    { title: "cycles, predicted", n: true, value: p => p.predicted, meter: p => p.predicted / most },
    { title: "simulated", n: true, value: p => p.simulated, meter: p => p.simulated / most, second: true, unless: !real },
    { title: "off by", n: true, value: off, text: p => off(p) === null ? "" : signed(off(p)), unless: !real || entry.syms.length > 0 },
    { title: "computing", n: true, value: p => real ? p.kernel_cycles_simulated : p.kernel_cycles_predicted,
      about: "cycles that the busiest core spends in kernels" },
    { title: "share", n: true, value: p => (p.simulated ?? p.predicted) / (entry.simulated ?? entry.cycles),
      text: p => percent((p.simulated ?? p.predicted) / (entry.simulated ?? entry.cycles)) },
  ], rows, { filter: p => p.name });
}

function layerTable(entry) {
  const parent = document.getElementById("layers");
  parent.replaceChildren();
  const sized = entry.syms.length > 0; // MACs are those of nominal sizes, and so are predictions; a run has its own
  const rows = entry.nodes.map((n, step) => ({ ...n, step, took: sized ? n.predicted : n.simulated ?? n.predicted }));
  const real = entry.simulated !== null, most = Math.max(1, ...rows.map(n => n.took || 0));
  const roof = n => n.took && n.least_cycles !== undefined ? n.least_cycles / n.took : null;
  const rate = n => n.took && n.macs ? n.macs / n.took : null;
  grid(parent, [
    { title: "step", n: true, value: n => n.step },
    { title: "node", value: n => n.name, code: true, name: true },
    { title: "operator", value: n => n.op },
    { title: "kernel", value: n => n.kernel || "", text: n => n.kernel || "view, no code", code: true },
    { title: "engine", value: n => n.engine || "" },
    { title: "beside the cores", value: n => n.shared ? `${n.shared.dim} ${n.shared.first} to ${n.shared.stop} of ${n.shared.of}` : "",
      about: "what the other engine does of the node, at the same time" },
    { title: "tile", value: n => n.kernel ? tileText(n.tile) : "" },
    { title: "tiles", n: true, value: n => n.tiles, text: n => n.tiles ? `${n.tiles}${n.buffers > 1 ? ` \u00d7${n.buffers}` : ""}` : "",
      about: "number of tiles; \u00d72: two buffers, transfers overlap" },
    { title: "MACs", n: true, value: n => n.macs },
    { title: "bytes", n: true, value: n => n.bytes },
    { title: "DMA bytes", n: true, value: n => n.dma_bytes },
    { title: "cycles, predicted", n: true, value: n => n.predicted, meter: n => n.predicted / most },
    { title: "simulated", n: true, value: n => n.simulated, meter: n => n.simulated / most, second: true, unless: !real },
    { title: "MAC/cycle", n: true, value: rate, text: n => rate(n) === null ? "" : rate(n).toFixed(rate(n) < 9.95 ? 2 : 1) },
    { title: "roofline", n: true, value: roof, text: n => roof(n) === null ? "" : roof(n) > 1 ? "hidden" : percent(roof(n)),
      about: "hidden: transfers that take longer than the layer run beside those before it" },
    { title: "bound by", value: n => n.bound || "" },
  ], rows, {
    more: details, filter: n => `${n.name} ${n.origin || ""} ${n.op} ${n.kernel || ""}`,
    decorate: (line, n) => line.classList.toggle("at-peak", n.step === entry.peak.step),
  });
}

function details(n) {
  const found = [make("p", n.origin && n.origin !== n.name ? `${n.op}, from ${n.origin}` : n.op)];
  if (!n.kernel) return [...found, make("p", "A view: no code, only placement.", "soft")];
  if (n.computing !== null || n.simulated_computing !== null) {
    found.push(make("p", `The busiest core computes ${[[n.computing, "predicted"], [n.simulated_computing, "simulated"]]
      .filter(([c]) => c !== null).map(([c, side]) => `${number(c)} cycles (${side})`).join(", ")}` +
      `; what bounds it takes at least ${number(n.least_cycles)}. ` +
      (n.resident ? "Its constants stay in the scratchpad." : n.early ? `Its constants begin to arrive ${n.early} steps ahead.` : "")));
  }
  if (n.operands) {
    found.push(make("h4", "Operands"), plain(["operand", "value", "bytes", "lives in", "reached"],
      n.operands.map(o => [o.operand, o.value, number(o.bytes), o.lives, o.reached]), [2]));
  }
  if (n.streams?.length) {
    found.push(make("h4", "Transfers"), plain(["operand", "buffers, bytes", "moved, bytes", "transfers", "DMA cycles"],
      n.streams.map(s => [s.operand, number(s.buffer), number(s.moved), number(s.transfers), number(s.cycles)]), [1, 2, 3, 4]));
  }
  found.push(make("h4", "Other tilings"));
  if (n.alternatives?.length) {
    found.push(plain(["tile", "tiles", "buffers", "bytes", "cycles", "why not"],
      n.alternatives.map(a => [tileText(a.tile), number(a.tiles), a.buffers, number(a.bytes), number(a.cycles), a.why]), [1, 2, 3, 4]));
  } else {
    found.push(make("p", n.asked ? "There is no other." : "Not asked: everything fits into the scratchpad uncut.", "soft"));
  }
  found.push(make("h4", "Other kernels"));
  if (n.others.length) found.push(plain(["kernel", "why not"], n.others.map(o => [o.kernel, o.why]), []));
  else found.push(make("p", "The target has no other for this operator.", "soft"));
  return found;
}

function energy(entry) {
  const section = document.getElementById("energy-section"), parent = document.getElementById("energy");
  section.hidden = !entry.energy;
  parent.replaceChildren();
  if (!entry.energy) return;
  const total = entry.energy.reduce((sum, term) => sum + term.uj, 0);
  const terms = entry.energy.map((term, i) => ({ ...term, ...data.energy_constants[term.name], hue: HUES[i] }));
  const digits = total < 10 ? 3 : 1;
  parent.append(make("p", `${total.toFixed(digits)} uJ in the run of ${number(entry.simulated)} cycles.`));
  const stack = make("div", null, "stack");
  for (const term of terms.filter(t => t.share > 0.0005)) {
    const part = make("i", term.share > 0.08 ? `${term.name} ${percent(term.share)}` : "");
    part.style.width = `${100 * term.share}%`, part.style.background = `hsl(${term.hue} 58% var(--fill))`;
    part.title = `${term.name}: ${percent(term.share)}`;
    stack.append(part);
  }
  parent.append(stack);
  grid(parent, [
    { title: "term", value: t => t.name },
    { title: "constant", n: true, value: t => t.pj, text: t => `${t.pj} pJ/${t.per}` },
    { title: "amount", n: true, value: t => t.amount },
    { title: "uJ", n: true, value: t => t.uj, text: t => t.uj.toFixed(digits) },
    { title: "share", n: true, value: t => t.share, text: t => percent(t.share), meter: t => t.share },
    { title: "total if halved", n: true, value: t => t.total_uj_if_halved, text: t => t.total_uj_if_halved.toFixed(digits) },
    { title: "if doubled", n: true, value: t => t.total_uj_if_doubled, text: t => t.total_uj_if_doubled.toFixed(digits) },
    { title: "where the constant is from", value: t => t.source, name: true },
  ], terms);
}

// The page

function open(entry) {
  charts = [];
  for (const button of document.getElementById("tabs").children) button.setAttribute("aria-pressed", button.textContent === entry.name);
  const sizes = entry.syms.map(s => `${s.name} up to ${number(s.max)} (nominal ${number(s.nominal)})`).join(", ");
  const macs = entry.nodes.reduce((sum, n) => sum + n.macs, 0), cycles = sizes ? entry.cycles : entry.simulated ?? entry.cycles;
  document.getElementById("about").textContent = `Entry ${entry.name}: ${entry.nodes.length} nodes, ${number(macs)} ` +
    `multiply-accumulates${sizes ? ` at nominal sizes; run-time sizes: ${sizes}` : ""}. Predicted ${number(entry.cycles)} cycles` +
    (entry.simulated ? `, simulated ${number(entry.simulated)}` +
      (sizes ? " (a run of sizes of its own)" : ` (off by ${signed(entry.cycles / entry.simulated - 1)})`) : "") +
    `: ${(macs / cycles).toFixed(2)} MAC/cycle. Most bytes of ${entry.peak.memory} are alive at step ${entry.peak.step}, ${entry.peak.node}: ` +
    `${number(entry.peak.bytes)}.`;
  document.getElementById("uncosted").textContent = entry.uncosted.length
    ? `The prediction is not complete: it counts as nothing what runs as ${entry.uncosted.join(", ")}, which state no cost.` : "";
  memory(entry);
  schedule(entry);
  phaseTable(entry);
  layerTable(entry);
  energy(entry);
}

if (data.entries.length > 1) {
  for (const entry of data.entries) {
    const button = make("button", entry.name);
    button.addEventListener("click", () => open(entry));
    document.getElementById("tabs").append(button);
  }
}
open(last(data.entries));
grid(document.getElementById("constants"), [
  { title: "name", value: c => c.name, code: true, name: true },
  { title: "type", value: c => `${c.dtype}[${c.shape.join(", ")}]` },
  { title: "layout", value: c => c.layout || "as it is" },
  { title: "bytes", n: true, value: c => c.bytes },
], data.constants, { filter: c => c.name });
const redraw = () => charts.forEach(chart => chart.draw());
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
