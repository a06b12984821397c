/** The floor: what a program does that has nothing but `fetch` and `JSON.parse`. */
import { downloadBytes, eventCount, imageCount, pageSize, requestCount } from "./sizes.js"
import { serve } from "./side.js"
import type { Side } from "./workloads.js"

interface BareImage {
  readonly uuid: string
  readonly tag: string | null
  readonly created_at: string | Date
  readonly operation_uuid: string | null
}

const bare = (url: string, operation: string, image: string): Side => {
  const headers = { authorization: "Bearer token", accept: "application/json" }
  const spawnHeaders = { ...headers, "content-type": "application/json" }

  const parse = async (response: Response) => {
    const text = await response.text()
    if (!response.ok) throw new Error(text)
    return JSON.parse(text)
  }
  const get = async () => parse(await fetch(`${url}/v1/operations/${operation}`, { headers }))
  const spawn = async () =>
    parse(
      await fetch(`${url}/v1/instances`, {
        method: "POST",
        headers: spawnHeaders,
        body: JSON.stringify({ command: "echo hello", shell: true, image, timeout: 30 })
      })
    )
  const times = (count: number, concurrency: number, call: () => Promise<{ readonly uuid: string }>) => async () => {
    let left = count
    let done = 0
    const worker = async () => {
      while (left-- > 0) if ((await call()).uuid === operation) done++
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
    return done
  }
  const bodyOf = async (path: string, accept = "application/json") => {
    const { body, ok } = await fetch(`${url}${path}`, { headers: { ...headers, accept } })
    if (!ok || body === null) throw new Error(path)
    return body
  }

  return {
    get1: times(requestCount, 1, get),
    get64: times(requestCount * 2, 64, get),
    spawn1: times(requestCount, 1, spawn),
    spawn64: times(requestCount * 2, 64, spawn),
    events: async () => {
      const decoder = new TextDecoder()
      const utf8 = new TextEncoder()
      let rest = ""
      let count = 0
      let bytes = 0
      let last = 0
      for await (const piece of await bodyOf(`/v1/operations/${operation}/events?follow=1`, "text/event-stream")) {
        const frames = (rest + decoder.decode(piece, { stream: true })).split("\n\n")
        rest = frames.pop() ?? ""
        for (const frame of frames) {
          let data = ""
          for (const line of frame.split("\n")) if (line.startsWith("data: ")) data += line.slice(6)
          const event = JSON.parse(data)
          count++
          last = new Date(event.ts).getTime()
          if (event.type !== "stdout") continue
          const { encoding, value } = event.data
          bytes += (encoding === "base64" ? Buffer.from(value, "base64") : utf8.encode(value)).length
        }
      }
      return bytes > 0 && last > 0 ? count : eventCount - 1
    },
    list: async () => {
      const images: Array<BareImage> = []
      for (let offset = 0; ; offset += pageSize) {
        const page: { readonly images: ReadonlyArray<BareImage> } = await parse(
          await fetch(`${url}/v1/images?limit=${pageSize}&offset=${offset}`, { headers })
        )
        for (const image of page.images) images.push({ ...image, created_at: new Date(image.created_at) })
        if (page.images.length < pageSize) break
      }
      return images.length === imageCount ? imageCount : 0
    },
    download: async () => {
      let bytes = 0
      for await (const piece of await bodyOf(`/v1/inspect/${image}/download?path=/large`)) bytes += piece.length
      return bytes / 1024 ** 2
    },
    upload: async () => {
      const piece = new Uint8Array(64 * 1024)
      let left = downloadBytes / piece.length
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (left-- > 0) controller.enqueue(piece)
          else controller.close()
        }
      })
      const init: RequestInit & { readonly duplex: "half" } = {
        method: "POST",
        headers: { ...headers, "content-type": "application/octet-stream" },
        body,
        duplex: "half"
      }
      const { size } = await parse(await fetch(`${url}/v1/files`, init))
      return size / 1024 ** 2
    }
  }
}

serve(bare)
