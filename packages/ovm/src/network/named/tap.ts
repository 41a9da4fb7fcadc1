import { constants, openSync } from "node:fs"
import { OvmError } from "../../errors.ts"
import { makeTap } from "../../host/tap.ts"
import type { Connected, MachineLink } from "../machine-link.ts"
import { VmmEnd } from "../vmm-end.ts"
import { runProgram } from "./programs.ts"

/** No other process that is started meanwhile gets it: the interface would outlive its VMM. */
const O_CLOEXEC = 0o2000000

/**
 * A VMM's own place on a bridge: an interface of the host that is there as long as the VMM holds its descriptor,
 * whoever was killed and however.
 */
export class TapLink implements MachineLink {
  readonly #vmm: VmmEnd
  readonly #name: string
  readonly #bridge: string

  /** Throws OVM_PERMISSION_DENIED, OVM_HOST_FAILED. */
  constructor(bridge: string) {
    this.#bridge = bridge
    this.#vmm = new VmmEnd(openDevice())
    try {
      this.#name = makeTap(this.vmmEnd)
    } catch (thrown) {
      this.handedOver()
      throw thrown
    }
  }

  get vmmEnd(): number {
    return this.#vmm.descriptor
  }

  handedOver(): void {
    this.#vmm.letGo()
  }

  /**
   * Joins it to the bridge, which sends there what is for `mac`, and learns nothing from what comes from there: nobody
   * gets another one's frames by saying its address, nor is let through with another one's. Throws OVM_HOST_FAILED.
   */
  async start({ mac }: Pick<Connected, "mac">): Promise<void> {
    const name = this.#name
    await runProgram("ip", ["link", "set", "dev", name, "addrgenmode", "none"])
    await runProgram("ip", ["link", "set", "dev", name, "master", this.#bridge])
    await runProgram("bridge", ["fdb", "replace", mac, "dev", name, "master", "static"])
    await runProgram("bridge", ["link", "set", "dev", name, "learning", "off", "locked", "on"])
    await runProgram("ip", ["link", "set", "dev", name, "up"])
  }

  [Symbol.dispose](): void {
    this.handedOver()
  }
}

function openDevice(): number {
  try {
    return openSync("/dev/net/tun", constants.O_RDWR | O_CLOEXEC)
  } catch (cause) {
    throw new OvmError("OVM_HOST_FAILED", "/dev/net/tun could not be opened (modprobe tun)", { cause })
  }
}
