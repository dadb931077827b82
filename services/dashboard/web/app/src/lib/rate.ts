/** Rate counts what came in the last seconds. Times are milliseconds. */
export class Rate {
  private seen: { at: number; n: number }[] = [];
  private began: number;

  constructor(
    now: number,
    private readonly over = 10_000,
  ) {
    this.began = now;
  }

  add(now: number, n = 1) {
    this.seen.push({ at: now, n });
    this.forget(now);
  }

  /** perSecond is the mean of the time looked at, or of all time where that is shorter; a second at least. */
  perSecond(now: number): number {
    this.forget(now);
    const over = Math.min(this.over, Math.max(now - this.began, 1_000));
    return this.seen.reduce((sum, s) => sum + s.n, 0) / (over / 1_000);
  }

  private forget(now: number) {
    const first = this.seen.findIndex((s) => s.at > now - this.over);
    this.seen.splice(0, first < 0 ? this.seen.length : first);
  }
}
