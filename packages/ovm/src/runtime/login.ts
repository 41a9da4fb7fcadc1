import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { textIfPresent } from "../files/present.ts"
import { replaceFile } from "../files/replace.ts"
import { newSshKey } from "../guest/ssh-key.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"

/** Who logs in unless told. */
const USER = "ovm"
/** In the instance's directory, for its user alone; with known_hosts, which is the command line's. */
const FOLDER = "ssh"
const KEY = "id_ed25519"

/** Who may log in to one guest, and by which key (spec/first-boot.md, "Logging in"). */
export interface Login {
  readonly user: string
  readonly publicKey: string
  /** Has the private key on disk before a guest is told of the public one. */
  keep(): Promise<void>
}

/** That of an instance in `directory`: the one that it had, in a further life. Throws the system's errors. */
export function loginOf(directory: string, ssh: NonNullable<Overrides["ssh"]>): Login {
  const path = join(directory, FOLDER, KEY)
  const user = userOf(ssh)
  const known = textIfPresent(`${path}.pub`)?.trim()
  if (known) return { user, publicKey: known, keep: async () => {} }
  const { privateKey, publicKey } = newSshKey("ovm")
  const keep = async () => {
    await mkdir(join(directory, FOLDER), { recursive: true, mode: 0o700 })
    await replaceFile(path, privateKey, { durable: true })
    await replaceFile(`${path}.pub`, `${publicKey}\n`, { durable: true })
  }
  return { user, publicKey, keep }
}

/** What a status says of it. */
export function shownLogin(
  directory: string,
  ssh: NonNullable<Overrides["ssh"]>,
): NonNullable<InstanceInfo["ssh"]> {
  return { user: userOf(ssh), identity_file: join(directory, FOLDER, KEY) }
}

function userOf({ user = USER }: NonNullable<Overrides["ssh"]>): string {
  return user
}
