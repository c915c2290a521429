/** @file Test vectors: addresses that must be refused, in every notation, and public ones that must be accepted. */

const closed4 = [
  ["0.0.0.0", "0.1.2.3", "0.255.255.255", "10.0.0.0", "10.0.0.1", "10.12.13.14", "10.255.255.255"],
  ["100.64.0.0", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.0", "127.0.0.1", "127.0.1.1"],
  ["127.1.2.3", "127.255.255.255", "168.63.129.16", "169.254.0.0", "169.254.169.254", "169.254.170.2"],
  ["169.254.255.255", "172.16.0.0", "172.16.0.1", "172.31.255.255", "192.0.0.0", "192.0.0.170", "192.0.0.192"],
  ["192.0.2.1", "192.88.99.1", "192.168.0.0", "192.168.1.1", "192.168.255.255", "198.18.0.1", "198.19.255.255"],
  ["198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "250.1.1.1", "255.255.255.255"],
].flat();

const closed6 = [
  ["::", "::1", "::2", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:10.0.0.1"],
  ["::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"],
  ["100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1"],
  ["2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1", "2002:c0a8:101::1", "3fff::1", "3ffe::1"],
  ["5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd12:3456:789a::1", "fe80::1", "fe80::a9fe:a9fe", "fe90::1"],
  ["febf::1", "fec0::1", "feff::1", "ff00::1", "ff02::1", "ff05::2", "ff0e::1", "4000::1", "8000::1", "e000::1"],
].flat();

/** The notations of an IPv4 address that browsers and libraries accept. */
function spellings4(address: string): string[] {
  const [a, b, c, d] = address.split(".").map(Number) as [number, number, number, number];
  const whole = ((a * 256 + b) * 256 + c) * 256 + d;
  const octal = (part: number) => `0${part.toString(8)}`;
  const hex = (part: number) => `0x${part.toString(16)}`;
  const parts = [a, b, c, d];
  return [
    address,
    `${address}.`,
    String(whole),
    hex(whole),
    `0${whole.toString(8)}`,
    parts.map(octal).join("."),
    parts.map(hex).join("."),
    `${a}.${(b * 256 + c) * 256 + d}`,
    `${a}.${b}.${c * 256 + d}`,
    `${hex(a)}.${b}.${octal(c)}.${d}`,
    address.replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit))), // full width
    address.replaceAll(".", "。"),
    address.replace(/\d/g, (digit) => `%3${digit}`),
  ];
}

const hexPair = (address: string) => {
  const [a, b, c, d] = address.split(".").map((part) => Number(part).toString(16).padStart(2, "0"));
  return [`${a}${b}`, `${c}${d}`] as const;
};

/** The same IPv4 address inside an IPv6 one. */
function wrapped(address: string): string[] {
  const [high, low] = hexPair(address);
  return [`::ffff:${address}`, `::ffff:${high}:${low}`, `0:0:0:0:0:ffff:${address}`, `::${address}`].concat(
    [`64:ff9b::${address}`, `64:ff9b::${high}:${low}`, `64:ff9b:1::${address}`, `2002:${high}:${low}::1`],
    [`::ffff:0:${address}`],
  );
}

const inside = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.100.100.200", "0.0.0.0"];

export const closedAddresses: readonly string[] = [
  ...new Set([...closed4, ...closed6, ...inside.flatMap((address) => wrapped(address))]),
];

const links: readonly string[] = [
  ...closed4.map((address) => `http://${address}/`),
  ...closed4.map((address) => `https://${address}/latest/meta-data`),
  ...closed6.map((address) => `http://[${address}]/`),
  ...inside.flatMap((address) => spellings4(address).map((spelling) => `http://${spelling}/`)),
  ...inside.flatMap((address) => wrapped(address).map((spelling) => `http://[${spelling}]/`)),
  ...["http://0/", "http://0x0/", "http://0x7f.1/", "http://127.1/", "http://017700000001/", "http://①②⑦.⓪.⓪.①/"],
  ...[
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000::0001]/",
    "http://[::1%25lo]/",
    "http://[fe80::1%25eth0]/",
  ],
  ...["http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://a.localhost/", "http://intranet/"],
  ...["http://metadata.google.internal/", "http://printer.local/", "http://router.lan/", "http://x.home.arpa/"],
  ...["http://a.onion/", "http://server.corp/", "http://localhost.localdomain.localhost/"],
  ...["file:///etc/passwd", "ftp://8.8.8.8/", "gopher://8.8.8.8/", "data:text/html,x", "javascript:1", "ws://8.8.8.8/"],
  ...[
    "blob:http://8.8.8.8/x",
    "about:blank",
    "unix:/var/run/docker.sock",
    "http+unix://%2Fvar%2Frun/",
    "dict://8.8.8.8/",
  ],
  ...[
    "http://user@news.example.org/",
    "http://user:word@8.8.8.8/",
    "http://:@127.0.0.1/",
    "http://a:b@[2606:4700::1111]/",
  ],
  ...[22, 25, 79, 110, 2375, 3306, 5432, 6379, 8080, 8443, 9200, 11211, 65535, 1].map(
    (port) => `http://8.8.8.8:${port}/`,
  ),
  ...["", "http://", "http:///", "//8.8.8.8/", "/etc/passwd", "not a link", "http://%/", "http://[::1/", "http://a b/"],
  `http://news.example.org/${"x".repeat(3000)}`,
];
/** URLs that `new URL` accepts and that must be refused, whatever a resolver returns. */
export const closedUrls: readonly string[] = [...new Set(links)];

export const publicAddresses: readonly string[] = [
  ...["1.1.1.1", "8.8.8.8", "9.9.9.9", "11.0.0.1", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1"],
  ...["169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.1", "192.0.3.1"],
  ...[
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "203.0.112.1",
    "223.255.255.255",
  ],
  ...[
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2620:fe::fe",
    "2a00:1450:4001::200e",
    "2400:cb00::1",
    "2c0f:fb50::1",
  ],
  ...["2001:200::1", "2003::1", "2610::1", "3000::1"],
];
