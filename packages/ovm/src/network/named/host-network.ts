import { isThere, letForward, makeBridge, portsOf, removeBridge } from "./bridge.ts"
import { NameServer } from "./dns.ts"
import { hasRules, makeRules, removeRules, rulesText } from "./firewall.ts"
import { letForward6 } from "./forward6.ts"
import type { NamedNetwork, NetworkMember } from "./named-network.ts"
import { hasIpv6 } from "./subnet6.ts"

/** What the host has of a network: rules, a bridge, and who serves its machines. */
export class HostNetwork {
  readonly #network: NamedNetwork
  readonly #server: NameServer
  /** Of its rules, as this process has made them last. */
  #rules = ""
  /** One after the other: what is asked of it changes the same things. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(network: NamedNetwork) {
    const { subnet6, ...rest } = network
    // A host that has lost it goes on with the rest.
    this.#network = subnet6 === undefined || hasIpv6() ? network : rest
    this.#server = new NameServer(this.#network)
  }

  /** Whether something of it is missing, as after the host has been started again, or was ended or stopped. */
  get broken(): boolean {
    return !isThere(this.#network.interface) || !this.#server.serves
  }

  /** Makes what is missing, and has it serve `members`, as they are then. Throws OVM_HOST_FAILED, OVM_UNSUPPORTED. */
  async serve(members: () => readonly NetworkMember[]): Promise<void> {
    await this.#inTurn(async () => {
      const all = members()
      if (!isThere(this.#network.interface)) await this.#make(all)
      else await this.#makeRules(all)
      await this.#server.serve(all)
    })
  }

  /** Puts its rules, and all else that the host has of it, in order: what another version has made may differ. */
  async renew(members: () => readonly NetworkMember[]): Promise<void> {
    await this.#inTurn(async () => {
      const all = members()
      await this.#make(all)
      await this.#server.serve(all)
    })
  }

  async ports(): Promise<readonly string[]> {
    return await portsOf(this.#network.interface)
  }

  /** Nothing of it is left. Throws OVM_HOST_FAILED. */
  async remove(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#server.remove()
      await removeBridge(this.#network.interface)
      await removeRules(this.#network)
    })
  }

  async #make(members: readonly NetworkMember[]): Promise<void> {
    // Whoever has ended the one may have ended the other.
    this.#rules = ""
    await this.#makeRules(members)
    const { internal, subnet6 } = this.#network
    if (!internal) letForward()
    if (!internal && subnet6 !== undefined) letForward6()
    await makeBridge(this.#network)
  }

  async #makeRules(members: readonly NetworkMember[]): Promise<void> {
    const rules = rulesText(this.#network, members)
    if (rules === this.#rules && (await hasRules(this.#network))) return
    await makeRules(rules)
    this.#rules = rules
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => {})
    await mine
  }
}
