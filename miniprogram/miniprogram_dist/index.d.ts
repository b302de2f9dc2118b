/** The client of wxgate for WeChat mini-programs. Types of wx come from miniprogram-api-typings, but are not needed. */

export interface Options {
  /** The gate: `https://host[:port][/stage]`. A token goes to this scheme, host and port alone. */
  baseUrl: string
  /** Sent with each login; may be left out if the gate serves one mini-program. */
  appid?: string
  /** Another `wx`, for tests; by default the global one, looked up when the client is made. */
  wx?: object
  /**
   * The one storage key of this client; by default `wxgate:` and baseUrl. Clients with the same key share one session, also
   * from different subpackages: the storage is the truth, and each sees the others' logins and logouts at once.
   */
  storageKey?: string
  /**
   * Milliseconds for each call; a request's own `timeout` takes precedence. By default wx has its own (app.json's
   * networkTimeout, else 60000), and a promise of this client rejects with TIMEOUT after 60000. In either case 5000 are
   * added before a promise gives up on a wx that never calls back. Waiting for the user (authorize, privacy.require) has no
   * limit.
   */
  timeout?: number
}

/**
 * What to do, stable for ever:
 * - `LOGGED_OUT` the user logged out, and nothing logs in by itself until `login()` succeeds: show a login button
 * - `NOT_LOGGED_IN` the gate refused the token, and this call may not log in, may not be replayed, or was replayed already
 * - `LOGIN_REFUSED` wx.login gave no code, or /login no token; `gate` is the reason if the gate refused
 * - `TAP_AGAIN` the data in hand belong to an older login (or the phone's code is spent): ask the user to tap once more
 * - `USER_DENIED` the user said no just now
 * - `SYSTEM_DENIED` the phone's own settings deny it to WeChat, or have it switched off: ask the user to change them
 * - `NEEDS_SETTING` the user said no earlier, WeChat will not ask again: show a button with open-type="openSetting"
 * - `PRIVACY` the privacy agreement was not agreed to, or does not declare this API
 * - `QUOTA` the mini-program has no phone number quota left (errno 1400001)
 * - `TIMEOUT`, `NETWORK`, `ABORTED`; NETWORK also for an answer of a gate's own route that the gate did not make
 * - `DOMAIN` the URL is not on the mini-program's list of domains, or not a URL: the developer's mistake
 * - `UNSUPPORTED` what this base library, account, place or argument does not allow
 * - `GATE_<Code>` any other refusal of the gate, such as `GATE_TooManyRequests`
 */
export type Code =
  | 'LOGGED_OUT'
  | 'NOT_LOGGED_IN'
  | 'LOGIN_REFUSED'
  | 'TAP_AGAIN'
  | 'USER_DENIED'
  | 'SYSTEM_DENIED'
  | 'NEEDS_SETTING'
  | 'PRIVACY'
  | 'QUOTA'
  | 'TIMEOUT'
  | 'NETWORK'
  | 'DOMAIN'
  | 'ABORTED'
  | 'UNSUPPORTED'
  | `GATE_${string}`

/** What every promise of the client rejects with. */
export interface ClientError extends Error {
  code: Code
  /** WeChat's own message if there is one. */
  errMsg: string
  /** WeChat's number, base library 2.24.0 and later. */
  errno?: number
  /** The gate's own Code, such as `InvalidCode`, if the gate refused. */
  gate?: string
  /** The answer that was refused. */
  response?: Response
  /** What lies behind: WeChat's failure, or the error that led to this one. */
  cause?: unknown
}

/** A login: keep it out of logs. */
export interface Session {
  token: string
  /** Epoch milliseconds by this phone's clock; missing if the gate did not say. */
  expiresAt?: number
}

export interface State {
  /** There is a token that does not end within 30 s; the gate may still refuse it. */
  loggedIn: boolean
  /** After logout(), also over restarts, until a login() succeeds. Both are false on a new phone. */
  loggedOut: boolean
  expiresAt?: number
}

/**
 * As wx.request gives it, also if the phone (WeChat for PC) reported it as a failure; any status that is no refusal of the
 * gate arrives here, also a 401 of the business API.
 */
export interface Response<T = any> {
  data: T
  statusCode: number
  header: { [name: string]: string }
  cookies?: string[]
  errMsg: string
}

/** As wx.uploadFile gives it: the body is a text. `header` is there if the phone reports it. */
export interface UploadResponse {
  data: string
  statusCode: number
  header?: { [name: string]: string }
  errMsg: string
}

export interface DownloadResponse {
  tempFilePath: string
  filePath?: string
  statusCode: number
  header?: { [name: string]: string }
  errMsg: string
}

/** What wx.request, wx.uploadFile and wx.downloadFile return, as far as each has it. */
export interface Task {
  abort(): void
  onHeadersReceived(listener: (res: { header: { [name: string]: string } }) => void): void
  offHeadersReceived(listener?: Function): void
  onChunkReceived?(listener: (res: { data: ArrayBuffer }) => void): void
  onProgressUpdate?(listener: (res: { progress: number }) => void): void
}

interface Call<R> {
  /**
   * Below baseUrl, with or without a slash in front, taken literally: business paths begin with `/api/`. An absolute
   * URL is taken as it is; at another host it gets no token, and is not watched for the gate's refusals.
   */
  url: string
  /** `Authorization` is the client's own whenever a token is sent. */
  header?: { [name: string]: string }
  /** Milliseconds. The promise rejects with TIMEOUT at most 5000 later, waiting for a login included. */
  timeout?: number
  /** false: send at once and never log in for this call, as a visitor if there is no token. A stored token is sent. */
  login?: false
  /** false: log in if the token is refused, but do not send again: rejects with NOT_LOGGED_IN after the login. */
  replay?: false
  /** Gets wx's task, once more for a replay. */
  onTask?(task: Task): void
  success?(res: R): void
  fail?(err: ClientError): void
  complete?(result: R | ClientError): void
}

export interface RequestOptions<T = any> extends Call<Response<T>> {
  /** As wx.request takes it; of GET it becomes the query. */
  data?: string | object | ArrayBuffer
  /** wx.request has no PATCH: it is sent as POST with `X-HTTP-Method-Override: PATCH`, which the gate understands. */
  method?: 'OPTIONS' | 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'TRACE' | 'CONNECT'
  /** What else wx.request takes: dataType, responseType, enableHttp2 … */
  [option: string]: any
}

export interface UploadOptions extends Call<UploadResponse> {
  filePath: string
  name: string
  formData?: object
  [option: string]: any
}

export interface DownloadOptions extends Call<DownloadResponse> {
  filePath?: string
  [option: string]: any
}

/** A promise that can be given up: it rejects with ABORTED at once. A login that it waits for goes on. */
export interface Abortable<T> extends Promise<T> {
  abort(): void
}

/** Event details of the buttons, or what wx.getUserInfo, wx.getWeRunData … give. */
export interface Detail {
  errMsg?: string
  errno?: number
  encryptedData?: string
  iv?: string
  /** Of the user's data: checked by the gate if both are there. */
  rawData?: string
  signature?: string
  /** Of the phone number buttons, base library 2.21.2 and later; good for five minutes, once. */
  code?: string
}

/** What the gate opened. `assertion` (a JWT, 5 minutes) proves it to your business server. */
export interface Opened<T> {
  data: T
  assertion: string
}

export interface Phone {
  phoneNumber: string
  purePhoneNumber: string
  countryCode: string
}

export type Kind = 'user' | 'phone' | 'werun' | 'share' | 'group'

export interface DecryptOptions {
  kind: Kind
  /** @deprecated The data in hand are always tried once after a login. */
  optimistic?: boolean
}

export interface Sheet {
  /** What asked, such as `getLocation` or `button.getPhoneNumber`. */
  referrer?: string
  /**
   * Once the user has tapped the button with open-type="agreePrivacyAuthorization" and this id. Like disagree(), it answers
   * all that wait for this handler.
   */
  agree(buttonId: string): void
  disagree(): void
}

export interface Events {
  login: Session
  logout: { everywhere: boolean }
  /** A request is about to be sent again, after a login. */
  replay: { url: string }
  loginError: ClientError
  /** The storage refused; until it works again, the client goes on with what it has in memory. */
  storageError: unknown
}

export interface Client {
  /**
   * Logs in, always anew; calls at the same time share one, but not one from before a logout(). Never call it before each
   * request: request() knows when. Only this ends "logged out". Tries once more by itself, with a new code, if wx.login
   * failed without refusing, WeChat was busy or unavailable, or the code was refused.
   */
  login(): Promise<Session>
  /** Logs in only if there is no token, or one that ends within 30 s. Rejects with LOGGED_OUT after logout(). */
  ensureLogin(): Promise<Session>
  /** What the storage says, without any request. */
  state(): State

  /**
   * Logs in first if there is no usable token; ten at once make one login. If the gate refuses the token (with its own
   * mark, never on a bare 401), logs in once and sends once more. If the gate took the request as a visitor's because the
   * token is dead (`X-Wxgate-Token: dead`), logs in once; GET and download are sent once more, anything else resolves with
   * the visitor's answer. Nothing else is ever sent twice. After logout() rejects with LOGGED_OUT.
   */
  request<T = any>(options: RequestOptions<T>): Abortable<Response<T>>
  get<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  post<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  put<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  patch<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  del<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  /** wx.uploadFile by request's rules. */
  upload(options: UploadOptions): Abortable<UploadResponse>
  /** wx.downloadFile by request's rules. */
  download(options: DownloadOptions): Abortable<DownloadResponse>

  /**
   * Way 1, when a page opens whose button brings encrypted data: asks the gate whether it accepts the token and still
   * holds a valid key, then wx.checkSession; logs in if either is dead. Calls at the same time share one; a tap meanwhile
   * waits for it. Call it nowhere else: WeChat limits wx.checkSession to twice the page views of a day.
   */
  ensureSession(): Promise<{ renewed: boolean }>
  /**
   * Way 2, in the callback of the tap: checks, then lets the gate open the data. If a login had to happen the data are
   * tried once all the same, since the gate may hold the key before; if they do not open, rejects with TAP_AGAIN. A failed
   * detail (`{errMsg, errno}`, from `complete` or a button) rejects with its code.
   */
  decrypt<T = any>(detail: Detail, options: DecryptOptions): Promise<Opened<T>>
  /** The phone number: by `detail.code`, which needs no session_key, else (old base libraries) by decryption. */
  phone(detail: Detail): Promise<Opened<Phone>>
  /**
   * The `signature` of wx.requestVirtualPayment: signs its signData, a text of 1 to 4096 bytes, with the user's
   * session_key at the gate. Call ensureSession() when the page opens: WeChat accepts the current key alone.
   */
  sign(data: string): Promise<string>

  /** The user's consent, which needs no login: wx.getSetting, and wx.authorize if it was never asked. */
  authorize(scope: string): Promise<true>
  /** In bindopensetting: resolves if the user switched the scope on, else rejects with NEEDS_SETTING. */
  settingResult(detail: { authSetting?: object }, scope: string): Promise<true>
  privacy: {
    /** wx.getPrivacySetting; base libraries before 2.32.3 need nothing. */
    status(): Promise<{ needAuthorization: boolean; privacyContractName?: string }>
    /** wx.requirePrivacyAuthorize: resolves once the user has agreed, rejects with PRIVACY. */
    require(): Promise<unknown>
    /**
     * Shows your own sheet: the last handler, of any client, is called for each API that waits, and its answer goes to all
     * that it was called for. Call what it returns when the page unloads: what still waits for this handler gets `disagree`,
     * what waits for another page's goes on waiting, and the handler before comes back.
     */
    onNeed(handler: (sheet: Sheet) => void): () => void
  }

  /**
   * Forgets the token at once, whatever the network does, then tells the gate; rejects if that failed. From then on, also
   * over restarts, calls that need a login reject with LOGGED_OUT until login() succeeds. With `everywhere` all phones of
   * this user are logged out, which needs a live token: NOT_LOGGED_IN without.
   */
  logout(options?: { everywhere?: boolean }): Promise<void>
  on<E extends keyof Events>(event: E, listener: (payload: Events[E]) => void): () => void
}

/** Throws a ClientError (UNSUPPORTED) without a baseUrl or a wx. */
export function createClient(options: Options): Client
