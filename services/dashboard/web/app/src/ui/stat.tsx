import { Skeleton } from "@mantine/core";

interface Props {
  label: string;
  /** Formatted; undefined while it loads. */
  value: string | undefined;
  /** Relative to the window before; null: nothing to compare with. */
  change: number | null;
  /** Which direction is bad; without it a change is only a fact. */
  bad?: "up" | "down";
  spark: (number | null)[] | undefined;
  tone: string;
  note?: string;
}

/** Stat is one number of the window, how it changed and its course. */
export function Stat({ label, value, change, bad, spark, tone, note }: Props) {
  return (
    <section className="card stat">
      <div className="name">
        <h2>{label}</h2>
        {note && <span className="note">{note}</span>}
      </div>
      {value === undefined ? (
        <Skeleton height={28} width="60%" my={4} />
      ) : (
        <div className="line">
          <span className="big">{value}</span>
          <Change of={change} bad={bad} />
        </div>
      )}
      {spark && spark.length > 1 ? <Spark values={spark} tone={tone} /> : <div className="spark" />}
    </section>
  );
}

/** Change is how a number moved since the window before; coloured only where a direction is bad. */
export function Change({ of, bad, against = "in the window before" }: { of: number | null; bad?: "up" | "down"; against?: string }) {
  if (of === null) return null;
  const flat = Math.abs(of) < 0.0005;
  const tone = flat || !bad ? "" : of > 0 === (bad === "up") ? " bad" : " good";
  const size = Math.abs(of) >= 9.995 ? `${Math.round(1 + Math.abs(of))}×` : `${(Math.abs(of) * 100).toFixed(1)}%`;
  return (
    <span className={"delta" + tone}>
      {flat ? "=" : of > 0 ? "▲" : "▼"} {size}
      <span className="vh"> {of > 0 ? "more" : "less"} than {against}</span>
    </span>
  );
}

const W = 120;
const H = 34;

export function Spark({ values, tone }: { values: (number | null)[]; tone: string }) {
  const known = values.map((v) => v ?? 0);
  const max = Math.max(...known);
  if (max === 0) return <div className="spark" />;
  const min = Math.min(...known) * 0.6;
  const point = (v: number, i: number) =>
    `${((i / (known.length - 1)) * W).toFixed(1)},${(H - 3 - ((v - min) / (max - min || 1)) * (H - 6)).toFixed(1)}`;
  const line = known.map(point).join(" ");
  return (
    <svg className="spark" viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" aria-hidden="true" style={{ color: `var(${tone})` }}>
      <polygon points={`0,${H} ${line} ${W},${H}`} />
      <polyline points={line} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
