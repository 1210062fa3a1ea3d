// PrismToken, interface version 1.1: the calls that the head-end makes, and no others.
//
// Field numbers, names and types are those of the maker's published interface; the words are ours.
// Thrift skips what is not named here (a meter's new configuration, texts for printing), so a
// later server of version 1 is understood too. Framed transport, strict binary protocol, over TLS.
// "ident" is 1 to 40 characters: a letter or digit, then letters, digits and _ - . ,

// Every call may raise it. eCode is a dotted ident such as ESts.VkExpired; eMsgEn is for people
// and may repeat what was sent.
exception ApiException {
  1: required string eCode,
  2: required string eMsgEn
}

struct SessionOptions {
  1: required string version,
  10: optional string culture
}

struct SignInResult {
  1: required string accessToken
}

struct Alert {
  1: required string eCode,
  2: required string eMsgEn
}

// One instance of PrismToken; several when a facade stands before them.
struct NodeStatus {
  1: required map<string, string> info,
  2: required list<Alert> alerts
}

// What the meter is set to now. The two allow... fields are true when left out, and then the
// module adds key change tokens of its own accord. allow3Kct asks an EA07 key change to carry the
// supply group in a third token; false when left out.
struct MeterConfigIn {
  1: required string drn,
  2: required i16 ea,
  3: required i16 tct,
  10: required i32 sgc,
  11: required i16 krn,
  12: required i16 ti,
  21: optional bool allowKrnUpdate,
  30: required i16 ken,
  32: optional bool allow3Kct,
  33: optional bool allowKenUpdate
}

// What a key change brings the meter to.
struct MeterConfigAmendment {
  1: required i32 toSgc,
  2: required i16 toKrn,
  3: required i16 toTi
}

// What a key change really brings it to, with the first token of a set only. toVkKcv is the check
// value of the new vending key.
struct MeterConfigAdvice {
  1: required i32 toSgc,
  2: required i16 toKrn,
  3: required i16 toTi,
  4: required i16 toKen,
  20: required bool rollover,
  21: required string toVkKcv
}

// An encrypted token. transferAmount is what it really carries; tokenDec the 20 digits; vkKcv the
// check value (six hex digits) of the vending key it was made under.
struct Token {
  1: required string drn,
  2: required string pan,
  3: required i16 ea,
  4: required i16 tct,
  5: required i32 sgc,
  6: required i16 krn,
  7: required i16 ti,
  10: required i16 tokenClass,
  11: required i16 subclass,
  12: required i32 tid,
  13: required double transferAmount,
  14: required bool isReservedTid,
  15: optional MeterConfigAdvice newConfig,
  20: required string description,
  21: required string stsUnitName,
  22: required string scaledAmount,
  23: required string scaledUnitName,
  30: required string tokenDec,
  31: required string tokenHex,
  40: required string idSm,
  41: required string vkKcv
}

// validationResult is EVerify.Ok or an EVerify code that says why not. A valid token of a key
// change is not described.
struct VerifyResult {
  1: required string validationResult,
  2: optional Token token
}

service TokenApi {
  SignInResult signInWithPassword(
    1: required string messageId,
    2: required string realm,
    3: required string username,
    4: required string password,
    5: required SessionOptions sessionOpts
  ) throws (1: ApiException ex1),

  list<NodeStatus> getStatus(
    1: required string messageId,
    2: required string accessToken
  ) throws (1: ApiException ex1),

  // transferAmount counts tenths of a unit in sub-classes 0 to 3; in 4 to 7 it is an amount of the
  // base currency, to 5 decimals. tokenTime means something only with a flag that says what; with
  // flags 0 the module takes its own clock.
  list<Token> issueCreditToken(
    1: required string messageId,
    2: required string accessToken,
    3: required MeterConfigIn meterConfig,
    4: required i16 subclass,
    5: required double transferAmount,
    6: required i64 tokenTime,
    7: required i64 flags
  ) throws (1: ApiException ex1),

  // A management token of class 2; transferAmount is its value before any compression.
  list<Token> issueMseToken(
    1: required string messageId,
    2: required string accessToken,
    3: required MeterConfigIn meterConfig,
    4: required i16 subclass,
    5: required double transferAmount,
    6: required i64 tokenTime,
    7: required i64 flags
  ) throws (1: ApiException ex1),

  // The whole set from one key to another; allowKrnUpdate of meterConfig would overrule toKrn.
  list<Token> issueKeyChangeTokens(
    1: required string messageId,
    2: required string accessToken,
    3: required MeterConfigIn meterConfig,
    4: required MeterConfigAmendment newConfig
  ) throws (1: ApiException ex1),

  // Not for tokens of class 1.
  VerifyResult verifyToken(
    1: required string messageId,
    2: required string accessToken,
    3: required MeterConfigIn meterConfig,
    4: required string tokenDec
  ) throws (1: ApiException ex1),

  // What an earlier issuing call of that messageId gave; ECacheMiss if the module knows of none.
  list<Token> fetchTokenResult(
    1: required string messageId,
    2: required string accessToken,
    3: required string reqMessageId
  ) throws (1: ApiException ex1)
}
