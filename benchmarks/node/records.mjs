/** What is cached while it is measured: an order of a shop, as long as asked for; the same as `python/records.py` makes. */

const SHORT_BYTES = 500; // below it an order has no customer and no lines

/**
 * Order `number`, exactly `size` bytes as compact JSON.
 *
 * @param {number} number
 * @param {number} size
 */
export function record(number, size) {
  const customer = { id: 90_000 + number, name: `Customer ${number}`, email: `customer${number}@example.com` };
  const paid = number % 3 === 0;
  const total = (1999 * ((number % 7) + 1)) / 100;
  if (size < SHORT_BYTES) return padded({ id: number, paid, total, note: '' }, size);
  const order = { id: number, customer, paid, total, lines: [], note: '' };
  order.lines = linesOf(number, size - JSON.stringify(order).length);
  return padded(order, size);
}

/** As many lines as fit into `room` bytes. */
function linesOf(number, room) {
  const lines = [];
  let left = room;
  for (;;) {
    const at = lines.length;
    const sku = `SKU-${String(number).padStart(5, '0')}-${String(at).padStart(2, '0')}`;
    const line = { sku, title: `Article number ${at}`, count: at + 1, price: 19.99 };
    left -= JSON.stringify(line).length + (at > 0 ? 1 : 0); // and a comma
    if (left < 0) return lines;
    lines.push(line);
  }
}

function padded(order, size) {
  const room = size - JSON.stringify(order).length;
  if (room < 0) throw new RangeError(`no order is as short as ${size} bytes`);
  return { ...order, note: 'x'.repeat(room) };
}
