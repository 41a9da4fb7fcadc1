import { createHmac, randomBytes } from "node:crypto"
import { stat } from "node:fs/promises"
import { OvmError } from "../errors.ts"
import { guarded } from "../files/guarded.ts"
import { limiter } from "../files/limit.ts"
import { readRegular } from "../files/regular.ts"
import { Refusal } from "./refusal.ts"

const LIMIT = 1 << 20
/** Verdicts that are remembered. */
const KNOWN = 1000
/** Passwords that are judged, or wait for it, at once: each takes some 50 ms of a core. */
const WAITING = 64
const BCRYPT = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/
/** Of a password that nobody has: a user who does not exist takes as long as one who does. */
const NOBODY = "$2b$10$RyjpF6nCySaFkihIO4.JsuXXVNH1atStbhhm2ofJ1IfDQF6kvSO8u"

/** Checks basic authentication (RFC 7617) against a file of `user:bcrypt-hash` lines, read anew when it changes. */
export class Htpasswd {
  #users: ReadonlyMap<string, string> = new Map()
  #stamp = ""
  // Bcrypt is slow by design, and a client sends its password with every request.
  readonly #verdicts = new Map<string, boolean>()
  readonly #key = randomBytes(32)
  readonly #judging = limiter(2)
  #waiting = 0

  private constructor(private readonly path: string) {}

  /** Throws OVM_FILE_UNREADABLE, or OVM_USAGE naming the line that is not one of bcrypt. */
  static open(path: string): Promise<Htpasswd> {
    return guarded(async () => {
      const htpasswd = new Htpasswd(path)
      await htpasswd.#refresh()
      return htpasswd
    })
  }

  /** The user's name. Throws a Refusal: 401 UNAUTHORIZED, or 429 TOOMANYREQUESTS. */
  async authorize(request: Request): Promise<string> {
    const header = request.headers.get("authorization")
    if (header !== null && (await this.#accepts(header)))
      return Buffer.from(header.replace(/^basic +/i, ""), "base64")
        .toString()
        .replace(/:.*/s, "")
    throw new Refusal(401, "UNAUTHORIZED", "user name and password are wanted, and these are not right", {
      headers: { "WWW-Authenticate": 'Basic realm="ovm registry", charset="UTF-8"' },
    })
  }

  async #accepts(header: string): Promise<boolean> {
    const [, encoded] = /^basic +([A-Za-z0-9+/=]{1,8192})$/i.exec(header) ?? []
    if (encoded === undefined) return false
    await this.#refresh()
    const id = createHmac("sha256", this.#key).update(encoded).digest("base64")
    const known = this.#verdicts.get(id)
    if (known !== undefined) return known
    const stamp = this.#stamp
    const verdict = await this.#judge(Buffer.from(encoded, "base64").toString())
    if (stamp === this.#stamp) this.#remember(id, verdict)
    return verdict
  }

  async #judge(credentials: string): Promise<boolean> {
    if (this.#waiting >= WAITING)
      throw new Refusal(429, "TOOMANYREQUESTS", "too many passwords to check", {
        headers: { "Retry-After": "1" },
      })
    const colon = credentials.indexOf(":")
    const user = credentials.slice(0, Math.max(colon, 0))
    const password = credentials.slice(colon + 1)
    const hash = this.#users.get(user)
    this.#waiting++
    try {
      const matches = await this.#judging(() => Bun.password.verify(password, hash ?? NOBODY, "bcrypt"))
      return matches && hash !== undefined && colon >= 0
    } finally {
      this.#waiting--
    }
  }

  #remember(id: string, verdict: boolean): void {
    const [oldest] = this.#verdicts.keys()
    if (this.#verdicts.size >= KNOWN && oldest !== undefined) this.#verdicts.delete(oldest)
    this.#verdicts.set(id, verdict)
  }

  async #refresh(): Promise<void> {
    const { mtimeMs, ino, size } = await stat(this.path)
    const stamp = `${mtimeMs} ${ino} ${size}`
    if (stamp === this.#stamp) return
    if (size > LIMIT) throw new OvmError("OVM_USAGE", `${this.path} is above ${LIMIT} bytes`)
    this.#users = parse(new TextDecoder().decode(await readRegular(this.path, LIMIT)), this.path)
    this.#verdicts.clear()
    this.#stamp = stamp
  }
}

function parse(text: string, path: string): Map<string, string> {
  const users = new Map<string, string>()
  for (const [at, line] of text.split("\n").entries()) {
    const content = line.trim()
    if (content === "" || content.startsWith("#")) continue
    const colon = content.indexOf(":")
    const hash = content.slice(colon + 1)
    if (colon < 1 || !BCRYPT.test(hash))
      throw new OvmError("OVM_USAGE", `${path}: line ${at + 1} is not USER:HASH with a hash of bcrypt`, {
        hint: "htpasswd -B -c FILE USER",
      })
    users.set(content.slice(0, colon), hash)
  }
  return users
}
