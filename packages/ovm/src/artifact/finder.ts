import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { ErrorCode } from "../errors.ts"
import { excerpt, type Fault, type FaultDocument } from "./faults.ts"
import { type DiskFormat, FORMAT_ANNOTATION, type LayerRef } from "./machine/manifest.ts"
import { type OciManifest, ociFault } from "./oci.ts"
import { canonicalType, diskType } from "./types.ts"

/** Which document the refs are in, and what it calls a breach. */
export interface FinderTerms {
  readonly document: FaultDocument
  readonly name: string
  readonly code: ErrorCode
  /** No layer has the digest; one has it, of another type; a size differs. */
  readonly missing: string
  readonly type: string
  readonly size: string
}

/** Finds the layers that the refs of a document name, and gathers what is wrong with them. */
export class Finder {
  readonly faults: Fault[] = []
  private readonly used = new Set<Digest>()

  constructor(
    private readonly oci: OciManifest,
    private readonly terms: FinderTerms,
  ) {}

  typed(pointer: string, ref: Digest, type: string): Descriptor | undefined {
    return this.find(pointer, ref, type, (descriptor) => canonicalType(descriptor.mediaType) === type)
  }

  /** A blob whose size the document says as well; `at` points to the member that names it. */
  sized(at: string, part: Pick<LayerRef, "ref" | "size">, type: string): Descriptor | undefined {
    const descriptor = this.typed(`${at}/ref`, part.ref, type)
    if (descriptor) this.checkSize(at, part, descriptor)
    return descriptor
  }

  /** A disk file; `at` points to the member that names it. */
  disk(
    at: string,
    layer: LayerRef,
  ): { readonly descriptor: Descriptor; readonly format: DiskFormat } | undefined {
    const descriptor = this.find(
      `${at}/ref`,
      layer.ref,
      "a disk's",
      ({ mediaType }) => diskType(mediaType).isDisk,
    )
    if (!descriptor) return undefined
    this.checkSize(at, layer, descriptor)
    this.checkFormat(descriptor, layer.format)
    return { descriptor, format: layer.format }
  }

  /** Layers that no ref named. */
  unused(): Descriptor[] {
    return this.oci.layers.filter(({ digest }) => !this.used.has(digest))
  }

  private checkSize(at: string, { size }: Pick<LayerRef, "size">, descriptor: Descriptor): void {
    if (descriptor.size !== size)
      this.fault(
        `${at}/size`,
        this.terms.size,
        `size is ${size}, but its descriptor says ${descriptor.size} bytes`,
      )
  }

  private find(pointer: string, ref: Digest, wanted: string, suits: (descriptor: Descriptor) => boolean) {
    this.used.add(ref)
    const named = this.oci.layers.filter(({ digest }) => digest === ref)
    const found = named.find(suits)
    if (found) return found
    if (named[0])
      this.fault(
        pointer,
        this.terms.type,
        `${ref} is a layer of type ${excerpt(named[0].mediaType)}, where ${wanted} type is expected`,
      )
    else this.fault(pointer, this.terms.missing, `no layer of the OCI manifest has the digest ${ref}`)
    return undefined
  }

  /**
   * The annotation decides, else the OVMS manifest; they and the media type must not contradict (OVMS-OCI-034,
   * OVMS-OCI-035).
   */
  private checkFormat(descriptor: Descriptor, declared: DiskFormat): void {
    const layer = `/layers/${this.oci.layers.indexOf(descriptor)}`
    const annotated = descriptor.annotations?.[FORMAT_ANNOTATION]
    const ofType = diskType(descriptor.mediaType).format
    if (annotated !== undefined && annotated !== "qcow2" && annotated !== "raw")
      this.ociFault(
        `${layer}/annotations/${FORMAT_ANNOTATION}`,
        "OVMS-OCI-034",
        `${FORMAT_ANNOTATION} is ${excerpt(annotated)}, not qcow2 or raw`,
      )
    else if (annotated !== undefined && annotated !== declared)
      this.ociFault(
        `${layer}/annotations/${FORMAT_ANNOTATION}`,
        "OVMS-OCI-035",
        `${FORMAT_ANNOTATION} is ${annotated}, but the ${this.terms.name} says ${declared}`,
      )
    if (ofType !== undefined && ofType !== declared)
      this.ociFault(
        `${layer}/mediaType`,
        "OVMS-OCI-035",
        `the media type says ${ofType}, but the ${this.terms.name} says ${declared}`,
      )
  }

  private fault(pointer: string, requirement: string, message: string): void {
    this.faults.push({ document: this.terms.document, pointer, requirement, code: this.terms.code, message })
  }

  private ociFault(pointer: string, requirement: string, message: string): void {
    this.faults.push(ociFault(pointer, requirement, message))
  }
}
