/** What a monitoring system scrapes, as data. */

/** Of a histogram: bounds in seconds, each with how many took no longer; those beyond the last are in `count` alone. */
export interface MetricSample {
  /** By name: `service`, `role`, and what the family counts by. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of a counter or a gauge. */
  readonly value?: number;
  /** Of a histogram, as `count` and `sum` (seconds) are. */
  readonly buckets?: readonly (readonly [bound: number, count: number])[];
  /** Of a histogram: how many. */
  readonly count?: number;
  /** Of a histogram: all together, in seconds. */
  readonly sum?: number;
}

/** All samples of one name. */
export interface MetricFamily {
  /** `tidegate_reads_total`, … */
  readonly name: string;
  /** What it counts, for people. */
  readonly help: string;
  /** What its samples are. */
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** What becomes of samples of the same labels, of two managers or processes. */
  readonly merge: 'sum' | 'max' | 'min';
  /** One for each set of labels. */
  readonly samples: readonly MetricSample[];
}

const JOINS = { sum: (one: number, other: number) => one + other, max: Math.max, min: Math.min } as const;

/** The families of several managers as one: what has the same labels becomes one sample. */
export function merged(all: readonly (readonly MetricFamily[])[]): MetricFamily[] {
  const byName = new Map<string, { family: MetricFamily; samples: Map<string, MetricSample> }>();
  for (const family of all.flat()) {
    let known = byName.get(family.name);
    if (known === undefined) {
      known = { family, samples: new Map() };
      byName.set(family.name, known);
    }
    for (const sample of family.samples) {
      const place = JSON.stringify(Object.values(sample.labels));
      const before = known.samples.get(place);
      known.samples.set(place, before === undefined ? sample : joined(before, sample, JOINS[family.merge]));
    }
  }
  return Array.from(byName.values(), ({ family, samples }) => ({ ...family, samples: [...samples.values()] }));
}

function joined(one: MetricSample, other: MetricSample, join: (one: number, other: number) => number): MetricSample {
  if (one.value !== undefined && other.value !== undefined) return { ...one, value: join(one.value, other.value) };
  const { buckets = [], count = 0, sum = 0 } = one;
  return {
    labels: one.labels,
    buckets: buckets.map(([bound, upTo], at) => [bound, upTo + (other.buckets?.[at]?.[1] ?? 0)] as const),
    count: count + (other.count ?? 0),
    sum: sum + (other.sum ?? 0),
  };
}
