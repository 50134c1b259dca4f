// Finds what is to be hidden in bytes of ASCII or UTF-8. Nothing in here knows
// of proxies, so that it can be tried and read alone.

const STAR: u8 = 0x2a;

function isDigit(c: u8): bool {
  return c >= 0x30 && c <= 0x39;
}

function isWord(c: u8): bool {
  return isDigit(c) || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a) || c == 0x5f;
}

// May stand in front of the @ of an address: also . % + -
function isLocal(c: u8): bool {
  return isWord(c) || c == 0x2e || c == 0x25 || c == 0x2b || c == 0x2d;
}

function bytesOf(list: u8[]): Uint8Array {
  let bytes = new Uint8Array(list.length);
  for (let i = 0; i < list.length; i++) bytes[i] = list[i];
  return bytes;
}

// True when the check digit at the end of a card number is right (Luhn's rule).
function isCard(digits: u8[]): bool {
  if (digits.length < 13 || digits.length > 19) return false;
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    let d = (digits[digits.length - 1 - i] - 0x30) as i32;
    if (i % 2 == 1) d = d > 4 ? 2 * d - 9 : 2 * d;
    sum += d;
  }
  return sum % 10 == 0;
}

// Card numbers, whose digits may stand in groups with a space or - between,
// become **** and their last four digits.
export function redactCards(body: Uint8Array): Uint8Array {
  let out: u8[] = [];
  let i = 0;
  while (i < body.length) {
    if (!isDigit(body[i]) || (i > 0 && isWord(body[i - 1]))) {
      out.push(body[i++]);
      continue;
    }
    let digits: u8[] = [];
    let end = i; // after the last digit
    for (let j = i; j < body.length; j++) {
      let c = body[j];
      if (isDigit(c)) {
        digits.push(c);
        end = j + 1;
      } else if ((c != 0x20 && c != 0x2d) || j > end) {
        break;
      }
    }
    if (isCard(digits) && (end == body.length || !isWord(body[end]))) {
      for (let n = 0; n < 4; n++) out.push(STAR);
      for (let n = digits.length - 4; n < digits.length; n++) out.push(digits[n]);
    } else {
      for (let j = i; j < end; j++) out.push(body[j]);
    }
    i = end;
  }
  return bytesOf(out);
}

// What stands in front of the @ of an address becomes ****.
export function redactEmails(body: Uint8Array): Uint8Array {
  let out: u8[] = [];
  let local = 0; // bytes at the end of out that may belong to an address
  for (let i = 0; i < body.length; i++) {
    let c = body[i];
    if (c == 0x40 && local > 0 && i + 1 < body.length && isWord(body[i + 1])) {
      for (; local > 0; local--) out.pop();
      for (let n = 0; n < 4; n++) out.push(STAR);
    }
    out.push(c);
    local = isLocal(c) ? local + 1 : 0;
  }
  return bytesOf(out);
}
