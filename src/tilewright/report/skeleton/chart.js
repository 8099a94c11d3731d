"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const HUES = [210, 28, 140, 330, 265, 55, 180, 0, 95, 235, 300, 15];
const KINDS = { input: 140, activation: 210, output: 180, stream: 265, constants: 28, scratch: 330 };
const KIND_TEXT = { input: "input", activation: "activation", output: "output", stream: "buffer of a stream",
  constants: "constants on their way", scratch: "scratch" };
const tip = document.getElementById("tip");

// Small things

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const number = value => value === null || value === undefined ? "" : Math.round(value).toLocaleString("en-US");
const signed = part => `${part > 0 ? "+" : ""}${(100 * part).toFixed(Math.abs(part) < 0.0995 ? 1 : 0)} %`;
const percent = share => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
const tileText = tile => tile ? Object.entries(tile).map(([name, size]) => `${name} ${size}`).join(", ") : "whole";
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const paint = hue => ({ fill: `hsl(${hue} 58% ${css("--fill")})`, edge: `hsl(${hue} 50% ${css("--edge")})` });
const last = array => array[array.length - 1];

function legend(items) {
  const line = make("div", null, "legend");
  for (const [label, hue] of items) {
    const item = make("span"), key = make("i", null, "key");
    key.style.background = `hsl(${hue} 58% var(--fill))`, key.style.borderColor = `hsl(${hue} 50% var(--edge))`;
    item.append(key, label);
    line.append(item);
  }
  return line;
}

// A chart of rectangles: {x0, x1, y0, y1, hue, label, tip}. y of a lane or an address, upwards where `flip`.

class Chart {
  constructor(title, note, options) {
    Object.assign(this, options);
    this.from = 0, this.to = this.width;
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${title}: ${note}`);
    this.element = make("div", null, "card");
    const bar = make("div", null, "bar");
    bar.append(make("h3", title), make("span", note, "soft"));
    for (const [text, factor] of [["\u2212", 2], ["+", 0.5], ["all", 0]]) {
      const button = make("button", text);
      button.title = { "\u2212": "show more", "+": "show less, larger", all: "show everything" }[text];
      button.addEventListener("click", () => this.zoom(factor, 0.5));
      bar.append(button);
    }
    this.element.append(bar, this.canvas);
    this.canvas.addEventListener("pointermove", event => this.point(event));
    this.canvas.addEventListener("pointerleave", () => { tip.hidden = true; this.hover = null; this.draw(); });
    this.canvas.addEventListener("pointerdown", event => { this.grip = event.clientX; this.canvas.setPointerCapture(event.pointerId); });
    this.canvas.addEventListener("pointerup", () => { this.grip = null; });
    this.canvas.addEventListener("dblclick", () => this.zoom(0, 0.5));
    this.canvas.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      this.zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, this.share(event));
    }, { passive: false });
  }

  share(event) {
    const box = this.canvas.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left - this.left) / (box.width - this.left - 8)));
  }

  zoom(factor, at) {
    const size = Math.min(this.width, (this.to - this.from) * factor || this.width);
    const middle = this.from + (this.to - this.from) * at;
    this.move(middle - size * at, size);
  }

  move(from, size) {
    this.from = Math.min(Math.max(0, from), this.width - size), this.to = this.from + size;
    this.draw();
    for (const other of this.follows || []) {
      if (other.from !== this.from || other.to !== this.to) other.from = this.from, other.to = this.to, other.draw();
    }
  }

  x(value) { return this.left + (value - this.from) / (this.to - this.from) * (this.wide - this.left - 8); }
  y(value) { return this.flip ? this.top + this.high - value / this.height * this.high : this.top + value / this.height * this.high; }

  draw() {
    const ratio = window.devicePixelRatio || 1, wide = this.element.clientWidth - 20;
    if (wide <= 0) return;
    this.wide = wide, this.top = 6, this.high = this.pixels, this.left = this.margin;
    const full = this.top + this.high + 22;
    this.canvas.style.height = `${full}px`;
    this.canvas.width = wide * ratio, this.canvas.height = full * ratio;
    const c = this.canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = "11px system-ui, sans-serif";
    this.grid(c);
    c.save();
    c.beginPath();
    c.rect(this.left, 0, wide - this.left, full);
    c.clip();
    const colours = new Map();
    for (const r of this.rects) {
      if (r.x1 < this.from || r.x0 > this.to) continue;
      if (!colours.has(r.hue)) colours.set(r.hue, paint(r.hue));
      const x = this.x(r.x0), width = Math.max(1, this.x(r.x1) - x), ya = this.y(r.y0), yb = this.y(r.y1);
      const y = Math.min(ya, yb), height = Math.max(1, Math.abs(yb - ya));
      c.fillStyle = colours.get(r.hue).fill;
      c.fillRect(x, y, width, height);
      if (width > 2.5 || r === this.hover) {
        c.strokeStyle = r === this.hover ? css("--ink") : colours.get(r.hue).edge;
        c.lineWidth = r === this.hover ? 1.5 : 0.7;
        c.strokeRect(x, y, width, height);
      }
      const shown = Math.min(this.x(r.x1), wide) - Math.max(x, this.left);
      if (r.label && shown > 30 && height > 12) this.write(c, r.label, Math.max(x, this.left) + shown / 2, y + height / 2 + 4, shown);
    }
    if (this.mark) {
      c.fillStyle = css("--peak"), c.globalAlpha = 0.18;
      c.fillRect(this.x(this.mark[0]), this.top, Math.max(2, this.x(this.mark[1]) - this.x(this.mark[0])), this.high);
    }
    c.restore();
  }

  write(c, label, x, y, room) {
    let text = label;
    if (c.measureText(text).width > room - 6) {
      const fits = Math.floor(text.length * (room - 12) / c.measureText(text).width);
      if (fits < 4) return;
      text = `${text.slice(0, fits - 1)}\u2026`;
    }
    c.fillStyle = css("--ink"), c.textAlign = "center";
    c.fillText(text, x, y);
  }

  grid(c) {
    c.strokeStyle = css("--line"), c.fillStyle = css("--soft"), c.lineWidth = 1;
    for (const [value, label, line] of this.rows) {
      const y = this.y(value);
      c.textAlign = "right";
      c.fillText(label, this.left - 6, y + (line ? 4 : 0));
      if (line) c.beginPath(), c.moveTo(this.left, y), c.lineTo(this.wide - 8, y), c.stroke();
    }
    const rough = (this.to - this.from) / Math.max(2, (this.wide - this.left) / 95);
    const power = 10 ** Math.floor(Math.log10(rough)), step = Math.max(this.least, [1, 2, 5, 10].find(k => k * power >= rough) * power);
    c.textAlign = "center";
    for (let at = Math.ceil(this.from / step) * step; at <= this.to - this.offset; at += step) {
      const x = this.x(at + this.offset);
      if (x < this.wide - 20) c.fillText(number(at), x, this.top + this.high + 16);
    }
  }

  point(event) {
    if (this.grip !== null && this.grip !== undefined && this.to - this.from < this.width) {
      const size = this.to - this.from, moved = (event.clientX - this.grip) / (this.wide - this.left) * size;
      this.grip = event.clientX;
      return this.move(this.from - moved, size);
    }
    const box = this.canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let found = null;
    for (const r of this.rects) {
      const low = Math.min(this.y(r.y0), this.y(r.y1)), high = Math.max(this.y(r.y0), this.y(r.y1));
      if (px >= this.x(r.x0) - 1 && px <= Math.max(this.x(r.x1), this.x(r.x0) + 1) + 1 && py >= low && py <= Math.max(high, low + 2)) found = r;
    }
    if (found !== this.hover) { this.hover = found; this.draw(); }
    tip.hidden = !found;
    if (!found) return;
    tip.textContent = found.tip;
    const size = tip.getBoundingClientRect();
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - size.width - 8)}px`;
    tip.style.top = `${event.clientY + 18 + size.height > innerHeight ? event.clientY - size.height - 12 : event.clientY + 18}px`;
  }
}
