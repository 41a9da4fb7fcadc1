import { makeTap, openTun } from "../../host/tap.ts"
import type { Connected, MachineLink } from "../machine-link.ts"
import { VmmEnd } from "../vmm-end.ts"
import { beginForwards } from "./forwarder.ts"
import { runProgram } from "./programs.ts"

/** Which bridge, and the address that its guest has there. */
interface Place {
  readonly interface: string
  readonly address: string
}

/**
 * A VMM's own place on a bridge: an interface of the host that is there as long as the VMM holds its descriptor,
 * whoever was killed and however.
 */
export class TapLink implements MachineLink {
  readonly #vmm: VmmEnd
  readonly #name: string
  readonly #place: Place
  readonly #directory: string

  /** `directory` is the machine's. Throws OVM_PERMISSION_DENIED, OVM_HOST_FAILED. */
  constructor(place: Place, directory: string) {
    this.#place = place
    this.#directory = directory
    this.#vmm = new VmmEnd(openTun())
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

  /** Throws what joinBridge does. */
  async start(whom: Pick<Connected, "mac" | "forwards">): Promise<void> {
    await joinBridge(this.#name, { place: this.#place, directory: this.#directory }, whom)
  }

  [Symbol.dispose](): void {
    this.handedOver()
  }
}

/**
 * Joins the interface `name` to a bridge, which sends there what is for `mac`, and learns nothing from what comes from
 * there: nobody gets another one's frames by saying its address, nor is let through with another one's. Opens its
 * ports. Throws OVM_HOST_FAILED, OVM_PORT_IN_USE.
 */
export async function joinBridge(
  name: string,
  { place, directory }: { readonly place: Place; readonly directory: string },
  { mac, forwards }: Pick<Connected, "mac" | "forwards">,
): Promise<void> {
  await runProgram("ip", ["link", "set", "dev", name, "addrgenmode", "none"])
  await runProgram("ip", ["link", "set", "dev", name, "master", place.interface])
  await runProgram("bridge", ["fdb", "replace", mac, "dev", name, "master", "static"])
  await runProgram("bridge", ["link", "set", "dev", name, "learning", "off", "locked", "on"])
  await runProgram("ip", ["link", "set", "dev", name, "up"])
  const [link] = JSON.parse(await runProgram("ip", ["-j", "link", "show", "dev", name]))
  await beginForwards(directory, { address: place.address, index: Number(link?.ifindex) }, forwards)
}
