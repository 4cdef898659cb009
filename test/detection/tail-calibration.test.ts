import { describe, expect, it } from 'vitest'
import { fitPareto, paretoExcess, paretoSurvival } from '../../src/detection/pareto-tail.ts'
import { StateReader, StateWriter } from '../../src/detection/state-codec.ts'
import { TailCalibration } from '../../src/detection/tail-calibration.ts'
import { normal } from './synthetic-series.ts'
import { uniform } from '../support/random.ts'

describe('the generalised Pareto fit', () => {
  it.each([
    [1, 0.3],
    [2, 0],
    [1000, 0.1],
    [0.5, -0.2],
  ])('recovers scale %d and shape %d', (scale, shape) => {
    const u = uniform(7)
    const sample = Float64Array.from({ length: 5000 }, () =>
      paretoExcess({ scale, shape }, 1 - u()),
    ).toSorted()
    const fit = fitPareto(sample)
    expect(fit.scale / scale).toBeGreaterThan(0.9)
    expect(fit.scale / scale).toBeLessThan(1.1)
    expect(Math.abs(fit.shape - shape)).toBeLessThan(0.06)
  })

  it('survives ties, single values and nothing', () => {
    for (const sample of [
      [],
      [1],
      [3, 3, 3, 3, 3, 3, 3, 3],
      [0, 0, 0, 0, 0, 0],
      [1e-300, 1e-300, 1, 1, 1, 1e6],
    ]) {
      const fit = fitPareto(Float64Array.from(sample))
      expect(Number.isFinite(fit.scale) && Number.isFinite(fit.shape)).toBe(true)
    }
  })

  it('has a survival function and its inverse', () => {
    for (const shape of [-0.1, 0, 0.4]) {
      for (const share of [0.5, 1e-3, 1e-9]) {
        expect(
          paretoSurvival({ scale: 2, shape }, paretoExcess({ scale: 2, shape }, share)) / share,
        ).toBeCloseTo(1, 6)
      }
    }
    expect(paretoSurvival({ scale: 1, shape: -0.5 }, 3)).toBe(0)
  })
})

describe('the streaming tail', () => {
  it('gives probabilities that come true on normal scores', () => {
    let passed = 0
    const points = 60_000
    for (const seed of [1, 2, 3]) {
      const tail = new TailCalibration(0.1)
      const n = normal(seed)
      for (let i = 0; i < points; i++) {
        const score = n()
        if (i >= 2000 && tail.probability(score) < 1e-3) passed++
        tail.add(score)
      }
    }
    const expected = 3 * (points - 2000) * 1e-3
    expect(passed / expected).toBeGreaterThan(0.6)
    expect(passed / expected).toBeLessThan(1.6)
  })

  it('counts a run of high scores once', () => {
    const single = new TailCalibration(0.1)
    const clustered = new TailCalibration(0.1)
    const n = normal(5)
    for (let i = 0; i < 20_000; i++) {
      single.add(Math.abs(n()) + (i % 40 === 0 ? 4 : 0))
      clustered.add(Math.abs(n()) + (i % 400 < 10 ? 4 : 0))
    }
    expect(clustered.probability(6)).toBeLessThan(single.probability(6) / 2)
  })

  it('does not drift on ties', () => {
    const tail = new TailCalibration(0.3)
    for (let i = 0; i < 10_000; i++) tail.add(0)
    expect(tail.probability(0)).toBe(1)
    expect(tail.probability(100)).toBeLessThan(1e-6)
  })

  it('inverts: the score at a probability has that probability', () => {
    const tail = new TailCalibration(0.1)
    const n = normal(6)
    for (let i = 0; i < 5000; i++) tail.add(n())
    for (const p of [1e-3, 1e-5]) expect(tail.probability(tail.scoreAt(p)) / p).toBeCloseTo(1, 6)
  })

  it('is the same after being written and read, at every stage', () => {
    const n = normal(8)
    const tail = new TailCalibration(0.1)
    for (let i = 0; i < 1200; i++) {
      tail.add(n())
      if (i % 97 !== 0) continue
      const writer = new StateWriter()
      tail.write(writer)
      const copy = new TailCalibration(0.1)
      copy.read(new StateReader(writer.finish()))
      for (const score of [0, 1, 2, 3, 5]) expect(copy.probability(score)).toBe(tail.probability(score))
    }
  })
})
