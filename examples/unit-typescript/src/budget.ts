/** One budget for faults, repeated answers and answers to session requests: what a stranger can provoke. */

const MOST = 5;

export class Budget {
  private left = MOST;
  private countedAt = performance.now();

  constructor(private readonly millisEach: number) {}

  /** Whether one more is afforded; it is spent then. */
  spend(): boolean {
    const now = performance.now();
    this.left = Math.min(MOST, this.left + (now - this.countedAt) / this.millisEach);
    this.countedAt = now;
    if (this.left < 1) return false;
    this.left -= 1;
    return true;
  }
}
