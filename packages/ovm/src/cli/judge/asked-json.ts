import { DOCUMENT_DEPTH, readJson } from "../../artifact/json.ts"
import { type Digest, isDigest } from "../../content/digest.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { ATTESTATION_LIMIT } from "../../signing/limits.ts"
import { readArgument } from "../argument-file.ts"

/** Of the whole question, in bytes: two attestations of the largest sort, in base64. */
const LIMIT = 3 * ATTESTATION_LIMIT

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * A JSON object that says what is asked (spec/conformance.md, "Readers and writers"), taken apart member by member.
 * Whatever is wrong with it is OVM_USAGE, which names the file and the place.
 */
export class AskedJson {
  readonly #taken = new Set<string>()

  private constructor(
    private readonly file: string,
    private readonly at: string,
    private readonly members: Readonly<Record<string, unknown>>,
  ) {}

  /** Throws what `readArgument` throws as well. */
  static async read<T>(file: string, take: (question: AskedJson) => T): Promise<T> {
    const read = readJson(await readArgument(file, LIMIT), { bytes: LIMIT, depth: DOCUMENT_DEPTH })
    if ("fault" in read) throw misasked(file, read.fault.pointer, read.fault.message)
    return AskedJson.#of(file, "", read.value).#whole(take)
  }

  static #of(file: string, at: string, value: unknown): AskedJson {
    if (!isObject(value)) throw misasked(file, at, "it is no object")
    return new AskedJson(file, at, value)
  }

  /** What `take` makes of it, which has to take all that is there. */
  #whole<T>(take: (question: AskedJson) => T): T {
    const taken = take(this)
    const unknown = Object.keys(this.members).find((name) => !this.#taken.has(name))
    if (unknown !== undefined) this.refuse(unknown, "it is nothing that is asked here")
    return taken
  }

  refuse(name: string, reason: string): never {
    throw misasked(this.file, `${this.at}/${name}`, reason)
  }

  text(name: string): string {
    const value = this.#member(name)
    return typeof value === "string"
      ? value
      : this.refuse(name, value === undefined ? "it is missing" : "it is no text")
  }

  digest(name: string): Digest {
    const value = this.text(name)
    return isDigest(value) ? value : this.refuse(name, "it is no digest of SHA-256")
  }

  /** The bytes that a text in base64 stands for. */
  bytes(name: string): Uint8Array {
    const value = this.text(name)
    return BASE64.test(value) ? Buffer.from(value, "base64") : this.refuse(name, "it is not base64")
  }

  /** A count of bytes, `most` of them at most. */
  size(name: string, most: number): number {
    const value = this.#member(name)
    const fits = typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most
    return fits ? value : this.refuse(name, `it is no count of bytes up to ${most}`)
  }

  texts(name: string): readonly string[] {
    const value = this.#list(name)
    return value.map((text, index) =>
      typeof text === "string" ? text : this.refuse(`${name}/${index}`, "it is no text"),
    )
  }

  part<T>(name: string, take: (part: AskedJson) => T): T {
    return AskedJson.#of(this.file, `${this.at}/${name}`, this.#member(name)).#whole(take)
  }

  parts<T>(name: string, take: (part: AskedJson) => T): readonly T[] {
    return this.#list(name).map((value, index) =>
      AskedJson.#of(this.file, `${this.at}/${name}/${index}`, value).#whole(take),
    )
  }

  /** A member whose own members have names that are anybody's. */
  named<T>(name: string, take: (part: AskedJson, name: string) => T): ReadonlyMap<string, T> {
    return this.part(
      name,
      (part) => new Map(Object.keys(part.members).map((name) => [name, take(part, name)] as const)),
    )
  }

  /** What `take` makes of a member by its name; undefined where it is not there. */
  optional<T>(name: string, take: (name: string) => T): T | undefined {
    return Object.hasOwn(this.members, name) ? take(name) : undefined
  }

  #list(name: string): readonly unknown[] {
    const value = this.#member(name)
    return Array.isArray(value) ? value : this.refuse(name, "it is no list")
  }

  #member(name: string): unknown {
    this.#taken.add(name)
    return Object.hasOwn(this.members, name) ? this.members[name] : undefined
  }
}

function misasked(file: string, at: string, reason: string): OvmError {
  return new OvmError("OVM_USAGE", `${file}: ${at === "" ? "" : `${at}: `}${reason}`, {
    hint: "ovm validate --help",
  })
}
