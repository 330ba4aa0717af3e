// The course of a rate as a small picture.

const SPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [120, 28];

/** A picture of `points` that `values(point)` gives lines of; it is one of as many points as fit. */
export class Spark {
  constructor(length, classes) {
    this.length = length;
    this.element = document.createElementNS(SPACE, "svg");
    this.element.setAttribute("class", "spark");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("aria-hidden", "true");
    this.lines = classes.map((name) => {
      const line = document.createElementNS(SPACE, "path");
      line.setAttribute("class", name);
      this.element.append(line);
      return line;
    });
  }

  /** `series`: numbers for each line, oldest first. */
  draw(series) {
    const most = Math.max(1e-9, ...series.flat());
    const step = WIDTH / (this.length - 1);
    series.forEach((values, index) => {
      const start = WIDTH - (values.length - 1) * step;
      const points = values.map((value, place) => {
        const y = HEIGHT - 1.5 - (value / most) * (HEIGHT - 4);
        return `${(start + place * step).toFixed(1)} ${y.toFixed(1)}`;
      });
      this.lines[index].setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
    });
  }
}
