import { renameSync, type Stats } from "node:fs"
import { lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { OvmError, toOvmError } from "../errors.ts"
import { ifPresent } from "../files/present.ts"
import { syncDirectory } from "../files/sync.ts"
import type { VolumePlan } from "../vmm/plan.ts"
import type { Instance } from "./instance.ts"
import type { Overrides, Volume, VolumeRequest } from "./interfaces.ts"
import { INSTANCE_NAME } from "./names.ts"
import { hasEnded } from "./states.ts"

/** In a volume's folder: what its guests see, raw. */
const DISK = "disk.raw"
/** Names of volumes begin otherwise: what a daemon was making when it died. */
const MAKING = ".making-"
/** The unit of st_blocks (stat(2)). */
const BLOCK = 512
/** What a volume has at least, and whole numbers of (OVMS-VOL-002). */
const LEAST = 2 ** 20
const SECTOR = 512
/** What virtio has room for. */
const SERIAL = 20

type Instances = ReadonlyMap<string, Instance>

/** The volumes of one root: a folder each, of which its name is all that is known besides (spec/volumes.md). */
export class VolumeStore {
  constructor(
    private readonly folder: string,
    private readonly instances: Instances,
  ) {}

  /** By name. */
  async list(): Promise<readonly Volume[]> {
    const names = ((await ifPresent(readdir(this.folder))) ?? []).filter((name) => !name.startsWith("."))
    const found = await Promise.all(names.sort().map((name) => this.#find(name)))
    return found.filter((volume) => volume !== undefined)
  }

  /** Made beside and renamed into its place, so that it is there whole or not at all (OVMS-VOL-001). */
  async create({ name, size }: VolumeRequest): Promise<Volume> {
    const making = join(this.folder, `${MAKING}${crypto.randomUUID()}`)
    try {
      if (await this.#disk(name)) throw inUse(name)
      await mkdir(making, { recursive: true, mode: 0o700 })
      await using disk = await open(join(making, DISK), "wx", 0o600)
      await disk.truncate(size)
      await disk.sync()
      await syncDirectory(making)
      await rename(making, join(this.folder, name))
      await syncDirectory(this.folder)
    } catch (thrown) {
      await rm(making, { recursive: true, force: true })
      const { code } = thrown as NodeJS.ErrnoException
      if (code === "EFBIG")
        throw new OvmError(
          "OVM_TOO_LARGE",
          `no file of ${size} bytes can be in ${this.folder}: its file system, or ulimit -f, allows none`,
        )
      throw code === "ENOTEMPTY" || code === "EEXIST" ? inUse(name) : toOvmError(thrown)
    }
    return await this.#get(name)
  }

  /** Throws OVM_VOLUME_UNKNOWN, OVM_VOLUME_IN_USE. */
  async remove(name: string): Promise<void> {
    if (!(await this.#disk(name))) throw unknown(name)
    const [user] = usersOf(this.instances, name)
    if (user) throw hadBy(user, name)
    // Under another name first: what is removed half way is no volume. At once, so that no machine comes to have it.
    const leaving = join(this.folder, `${MAKING}${crypto.randomUUID()}`)
    try {
      renameSync(join(this.folder, name), leaving)
    } catch (thrown) {
      throw (thrown as NodeJS.ErrnoException).code === "ENOENT" ? unknown(name) : toOvmError(thrown)
    }
    await rm(leaving, { recursive: true })
  }

  /** Removes what a daemon that died was making or removing. */
  async sweep(): Promise<void> {
    const names = (await ifPresent(readdir(this.folder))) ?? []
    const left = names.filter((name) => name.startsWith(MAKING))
    await Promise.all(left.map((name) => rm(join(this.folder, name), { recursive: true, force: true })))
  }

  /**
   * The disks that a machine with these overrides is to have. Throws OVM_VOLUME_UNKNOWN, OVM_REQUEST_INVALID for one
   * that is named twice, OVM_FILE_UNREADABLE where something else has the place of a disk, and OVM_DISK_INVALID for
   * one that was cut.
   */
  async plan({ volumes = [] }: Overrides): Promise<readonly VolumePlan[]> {
    const twice = volumes.find(({ name }, at) => volumes.findIndex((one) => one.name === name) !== at)
    if (twice)
      throw new OvmError(
        "OVM_REQUEST_INVALID",
        `overrides.volumes: ${twice.name} is there twice [OVMS-VOL-004]`,
      )
    const serials = volumes.map(({ name }) => name.slice(0, SERIAL))
    const alike = serials.find((serial, at) => serials.indexOf(serial) !== at)
    if (alike !== undefined)
      throw new OvmError(
        "OVM_REQUEST_INVALID",
        `overrides.volumes: the guest could not tell those apart that begin with ${alike} [OVMS-VOL-003]`,
      )
    return await Promise.all(
      volumes.map(async ({ name, readOnly = false }) => {
        const path = join(this.folder, name, DISK)
        assertWhole(path, await this.#get(name))
        return { path, serial: name.slice(0, SERIAL), readOnly }
      }),
    )
  }

  async #get(name: string): Promise<Volume> {
    const found = await this.#find(name)
    if (found) return found
    throw (await this.#disk(name)) ? damaged(name, join(this.folder, name, DISK)) : unknown(name)
  }

  /** What has the place of its disk, whatever that is: no link is followed. */
  async #disk(name: string): Promise<Stats | undefined> {
    if (!INSTANCE_NAME.test(name)) return undefined
    return await ifPresent(lstat(join(this.folder, name, DISK)))
  }

  /** Undefined for what is no volume. */
  async #find(name: string): Promise<Volume | undefined> {
    const found = await this.#disk(name)
    if (!found?.isFile()) return undefined
    return {
      name,
      size: found.size,
      used: found.blocks * BLOCK,
      created: found.birthtime.toISOString(),
      instances: usersOf(this.instances, name).map(({ instance, readOnly }) => ({
        instance_id: instance.id,
        read_only: readOnly,
        in_use: !hasEnded(instance.state),
      })),
    }
  }
}

interface User {
  readonly instance: Instance
  readonly readOnly: boolean
}

/** Those that have the volume, and those of which nobody knows what they have (OVMS-VOL-011). */
function usersOf(instances: Instances, name: string): readonly User[] {
  return [...instances.values()].flatMap((instance) => {
    if (!instance.volumes) return [{ instance, readOnly: false }]
    const use = instance.volumes.find((one) => one.name === name)
    return use ? [{ instance, readOnly: use.readOnly === true }] : []
  })
}

/**
 * Throws OVM_VOLUME_IN_USE if a machine has what one with these overrides, the instance `id`, would write to, or writes
 * to what that would read (OVMS-VOL-005). Not asynchronous: of two starts one is first.
 */
export function assertVolumesFree(instances: Instances, id: string, { volumes = [] }: Overrides): void {
  for (const { name, readOnly = false } of volumes)
    for (const user of usersOf(instances, name)) {
      const { instance } = user
      if (instance.id === id || hasEnded(instance.state) || (readOnly && user.readOnly)) continue
      throw hadBy(user, name)
    }
}

function hadBy({ instance: { id, volumes } }: User, name: string): OvmError {
  const has = volumes ? "has" : "cannot be read, and may have"
  return new OvmError("OVM_VOLUME_IN_USE", `instance ${id} ${has} the volume ${name}`, {
    detail: { volume: name, instance_id: id },
  })
}

/** A guest is not to find, without a word, that its disk has become another one. */
function assertWhole(path: string, { name, size }: Volume): void {
  if (size >= LEAST && size % SECTOR === 0) return
  throw new OvmError(
    "OVM_DISK_INVALID",
    `the volume ${name}: ${path} has ${size} bytes, which no volume has: it was cut, or copied in part [OVMS-VOL-002]`,
  )
}

function unknown(name: string): OvmError {
  return new OvmError("OVM_VOLUME_UNKNOWN", `there is no volume ${JSON.stringify(name.slice(0, 100))}`)
}

function damaged(name: string, disk: string): OvmError {
  return new OvmError("OVM_FILE_UNREADABLE", `the volume ${name}: ${disk} is no regular file`, {
    hint: `ovm volume rm ${name} removes it`,
  })
}

function inUse(name: string): OvmError {
  return new OvmError("OVM_NAME_IN_USE", `there is a volume ${name} already`)
}
