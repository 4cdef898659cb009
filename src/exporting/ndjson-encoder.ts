import { InstantText } from './instant-text.ts'
import type { PointEncoder, PointRun } from './point-encoder.ts'

/** Points as lines of JSON, which are read back to the same points. */
export class NdjsonEncoder implements PointEncoder {
  readonly #time = new InstantText()

  begin(): Uint8Array {
    return Buffer.alloc(0)
  }

  encode({ key, micros, values }: PointRun): Uint8Array {
    const name = `","metric":${JSON.stringify(key.metric)},"tags":${JSON.stringify(key.tags)},"value":`
    let text = ''
    for (let i = 0; i < micros.length; i++) {
      const value = values[i]!
      const number = Number.isFinite(value) ? String(value) : `"${value}"`
      text += `{"time":"${this.#time.write(micros[i]!)}${name}${number}}\n`
    }
    return Buffer.from(text)
  }

  end(): Uint8Array {
    return Buffer.alloc(0)
  }
}
