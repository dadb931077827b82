import { day, hourMinute } from "../../lib/format";
import { zoomed } from "../../lib/window";
import { useWindow } from "../../window";
import type { Plot } from "./plot";

interface Props {
  plot: Plot;
  caption: string;
  format: (n: number | null) => string;
}

/** DataTable is a chart in numbers, newest first. */
export function DataTable({ plot, caption, format }: Props) {
  const { zoom } = useWindow();
  const steps = plot.t.map((t, i) => ({ t, i })).reverse();
  return (
    <div className="data-table" tabIndex={0} role="region" aria-label={`${caption} as a table`}>
      <table>
        <thead>
          <tr>
            <th scope="col">From</th>
            {plot.lines.map((l) => (
              <th key={l.key} scope="col">
                {l.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.map(({ t, i }) => (
            <tr key={t}>
              <th scope="row">
                <button className="quiet" onClick={() => zoom(zoomed(t, t + plot.step))} title="Show only this interval">
                  {day(t * 1000)} {hourMinute(t * 1000)}
                </button>
                {plot.partialLast && i === plot.t.length - 1 && " so far"}
              </th>
              {plot.lines.map((l) => (
                <td key={l.key}>{format(l.values[i] ?? null)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
