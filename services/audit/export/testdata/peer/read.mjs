// Reads Parquet files with hyparquet and prints each row as a JSON array of texts,
// nothing converted: decimals and instants as the integers that are stored.
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'

const file = await asyncBufferFromFile(process.argv[2])
const metadata = await parquetMetadataAsync(file)
const columns = metadata.schema.slice(1)
const logical = columns.map((c) => c.logical_type?.type)
for (const c of columns) {
  if (c.logical_type?.type === 'DECIMAL' || c.logical_type?.type === 'TIMESTAMP') {
    c.logical_type = c.converted_type = undefined
  }
}
console.log(JSON.stringify(columns.map((c, i) => c.name + ' ' + (logical[i] ?? c.type))))
for (const row of await parquetReadObjects({ file, metadata, utf8: false })) {
  console.log(JSON.stringify(columns.map((c, i) => {
    const v = row[c.name]
    if (v === null || v === undefined) return null
    if (!(v instanceof Uint8Array)) return String(v)
    if (logical[i] !== 'DECIMAL') return Buffer.from(v).toString('base64')
    return BigInt.asIntN(128, BigInt('0x' + Buffer.from(v).toString('hex'))).toString()
  })))
}
