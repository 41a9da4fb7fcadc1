import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { type Keyboard, openKeyboard } from "../vmm/process/keyboard.ts"
import { instanceConsole } from "./console.ts"
import { untilRenewed } from "./held-input.ts"
import type { Instance } from "./instance.ts"
import type { AttachOptions, TypeOptions } from "./interfaces.ts"
import { resizeConsole } from "./window.ts"

interface Attached {
  readonly attachment: string
  readonly instance: Instance
  readonly keyboard: Keyboard
  /** Settles when what is typed may go in. */
  readonly open: Promise<void>
}

/** Who has the keyboard of which instance, one at a time each (spec/runtime-api.md, "attach"). */
export class Attachments {
  readonly #attached = new Map<string, Attached>()

  /**
   * The console; for as long as that is read, and the call is not aborted, the keyboard is `attachment`'s. Throws
   * OVM_STATE_CONFLICT, and what openKeyboard and instanceConsole throw.
   */
  async attach(instance: Instance, { attachment, signal, ...options }: AttachOptions): Promise<Bytes> {
    const { id, directory, machine, state } = instance
    if (!machine || (state !== "running" && state !== "paused" && state !== "stopping"))
      throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} is ${state}`, { detail: { state } })
    if (this.#attached.has(id)) throw taken(id)
    const keyboard = await openKeyboard(directory)
    if (this.#attached.has(id) || signal?.aborted) {
      keyboard.close()
      throw taken(id)
    }
    const attached = { attachment, instance, keyboard, open: untilRenewed(instance) }
    this.#attached.set(id, attached)
    const leave = () => {
      keyboard.close()
      if (this.#attached.get(id) !== attached) return
      this.#attached.delete(id)
      instance.window = undefined
    }
    signal?.addEventListener("abort", leave)
    try {
      const console = await instanceConsole(instance, { ...options, follow: true, ...(signal && { signal }) })
      return whileRead(console, leave)
    } catch (thrown) {
      leave()
      throw thrown
    }
  }

  has(id: string): boolean {
    return this.#attached.has(id)
  }

  /** Throws OVM_STATE_CONFLICT if it is not attached. */
  async type(id: string, { attachment, bytes, window, signal }: TypeOptions): Promise<void> {
    const attached = this.#attached.get(id)
    if (!attached || attached.attachment !== attachment)
      throw new OvmError("OVM_STATE_CONFLICT", `this attachment is not attached to instance ${id}`)
    if (window) resizeConsole(attached.instance, window)
    await attached.open
    if (bytes.length > 0) await attached.keyboard.write(bytes, signal)
  }
}

function taken(id: string): OvmError {
  return new OvmError("OVM_STATE_CONFLICT", `another one is attached to instance ${id}`, {
    hint: "ovm logs --follow",
  })
}

async function* whileRead(bytes: Bytes, leave: () => void): Bytes {
  try {
    yield* bytes
  } finally {
    leave()
  }
}
