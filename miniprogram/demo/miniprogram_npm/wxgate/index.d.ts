/** The client of wxgate for WeChat mini-programs. Types of wx come from miniprogram-api-typings, but are not needed. */

export interface Options {
  /** The gate: `https://host[:port][/stage]`. A token goes to this scheme, host and port alone. */
  baseUrl: string
  /** Sent with each login; may be left out where the gate serves one mini-program. */
  appid?: string
  /** Another `wx`, for tests; the global one by default, looked up when the client is made. */
  wx?: object
  /** The one storage key of this client; `wxgate:` and baseUrl by default. Clients with different keys are independent. */
  storageKey?: string
  /**
   * Milliseconds for each call; a request's own `timeout` counts more. Without it requests have WeChat's own (app.json's
   * networkTimeout, else 60000), and wx.login, wx.checkSession, wx.getSetting and the gate's own routes 60000.
   */
  timeout?: number
}

/**
 * What to do, stable for ever:
 * - `NOT_LOGGED_IN` the gate refused the token, and this call may not log in, may not be replayed, or was replayed already
 * - `LOGIN_REFUSED` wx.login gave no code, or /login no token; `gate` says why, where the gate refused
 * - `TAP_AGAIN` the data in hand belong to an older login (or the phone's code is spent): ask the user to tap once more
 * - `USER_DENIED` the user said no just now
 * - `NEEDS_SETTING` the user said no earlier, WeChat will not ask again: show a button with open-type="openSetting"
 * - `PRIVACY` the privacy agreement was not agreed to, or does not declare this API
 * - `QUOTA` the mini-program has no phone number quota left (errno 1400001)
 * - `TIMEOUT`, `NETWORK`, `ABORTED`; NETWORK also for an answer of a gate's own route that the gate did not make
 * - `UNSUPPORTED` what this base library, account, place or argument does not allow
 * - `GATE_<Code>` any other refusal of the gate, such as `GATE_TooManyRequests`
 */
export type Code =
  | 'NOT_LOGGED_IN'
  | 'LOGIN_REFUSED'
  | 'TAP_AGAIN'
  | 'USER_DENIED'
  | 'NEEDS_SETTING'
  | 'PRIVACY'
  | 'QUOTA'
  | 'TIMEOUT'
  | 'NETWORK'
  | 'ABORTED'
  | 'UNSUPPORTED'
  | `GATE_${string}`

/** What every promise of the client rejects with. */
export interface ClientError extends Error {
  code: Code
  /** WeChat's words where it gave some, else words of the same shape. */
  errMsg: string
  /** WeChat's number, base library 2.24.0 and later. */
  errno?: number
  /** The gate's own Code, such as `InvalidCode`, where the gate refused. */
  gate?: string
  /** The answer that was refused. */
  response?: Response
  /** What lies behind: WeChat's failure, or the error that led to this one. */
  cause?: unknown
}

/** A login: keep it out of logs. */
export interface Session {
  token: string
  /** Epoch milliseconds by this phone's clock; missing where the gate did not say. */
  expiresAt?: number
}

/** As wx.request gives it; any status that the gate did not refuse with arrives here, also a 401 of the business API. */
export interface Response<T = any> {
  data: T
  statusCode: number
  header: { [name: string]: string }
  cookies?: string[]
  errMsg: string
}

/** As wx.uploadFile gives it: the body is a text. `header` is there where the phone tells it. */
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

/** Of wx.request, wx.uploadFile, wx.downloadFile, as far as each has it. */
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
  /** `Authorization` is the client's own wherever a token goes. */
  header?: { [name: string]: string }
  timeout?: number
  /** false: never log in for this call. A stored token is sent all the same. */
  login?: false
  /** false: log in when the token is refused, but do not send again: rejects with NOT_LOGGED_IN after the login. */
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
  method?: 'OPTIONS' | 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE' | 'TRACE' | 'CONNECT'
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

/** A promise that can be given up: it rejects with ABORTED at once. A login that others wait for goes on. */
export interface Abortable<T> extends Promise<T> {
  abort(): void
}

/** Event details of the buttons, or what wx.getUserInfo, wx.getWeRunData … give. */
export interface Detail {
  errMsg?: string
  errno?: number
  encryptedData?: string
  iv?: string
  /** Of the user's data: checked by the gate where both are there. */
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
  /**
   * After a login that had to happen, try the data in hand once before asking for another tap: WeChat does not renew
   * its key at each login, and the gate also holds the key before.
   */
  optimistic?: boolean
}

export interface Sheet {
  /** What asked, such as `getLocation` or `button.getPhoneNumber`. */
  referrer?: string
  /** Once the user tapped the button with open-type="agreePrivacyAuthorization" and this id. Answers all that wait. */
  agree(buttonId: string): void
  disagree(): void
}

export interface Events {
  login: Session
  logout: { everywhere: boolean }
  /** A request is about to be sent again, after a login. */
  replay: { url: string }
  loginError: ClientError
  /** The storage refused; the client goes on with what it has in memory. */
  storageError: unknown
}

export interface Client {
  /** Logs in, always anew; calls at the same time share one. Never call it before each request: request() knows when. */
  login(): Promise<Session>
  /** Logs in only where there is no token, or one that ends within 30 s. */
  ensureLogin(): Promise<Session>

  /**
   * Sends with the stored token, if there is one. Where the gate refuses that (401 with its own mark), logs in once and
   * sends once more. Nothing else is ever sent twice: no timeout, no network failure, no 401 of the business API.
   */
  request<T = any>(options: RequestOptions<T>): Abortable<Response<T>>
  get<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  post<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  put<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  del<T = any>(url: string, data?: RequestOptions['data'], options?: Partial<RequestOptions<T>>): Abortable<Response<T>>
  /** wx.uploadFile by request's rules. */
  upload(options: UploadOptions): Abortable<UploadResponse>
  /** wx.downloadFile by request's rules. */
  download(options: DownloadOptions): Abortable<DownloadResponse>

  /**
   * Way 1, when a page opens whose button brings encrypted data: asks the gate whether it accepts the token and still
   * holds a valid key, then wx.checkSession; logs in where either is dead. Call it nowhere else: WeChat limits
   * wx.checkSession to twice the page views of a day.
   */
  ensureSession(): Promise<{ renewed: boolean }>
  /**
   * Way 2, in the callback of the tap: checks, then lets the gate open the data. Rejects with TAP_AGAIN where a login
   * had to happen, since the data in hand belong to the key before it.
   */
  decrypt<T = any>(detail: Detail, options: DecryptOptions): Promise<Opened<T>>
  /** The phone number: by `detail.code`, which needs no session_key, else (old base libraries) by decryption. */
  phone(detail: Detail, options?: { optimistic?: boolean }): Promise<Opened<Phone>>

  /** The user's consent, which needs no login: wx.getSetting, and wx.authorize where it was never asked. */
  authorize(scope: string): Promise<true>
  /** In bindopensetting: resolves where the user switched the scope on, else rejects with NEEDS_SETTING. */
  settingResult(detail: { authSetting?: object }, scope: string): Promise<true>
  privacy: {
    /** wx.getPrivacySetting; base libraries before 2.32.3 need nothing. */
    status(): Promise<{ needAuthorization: boolean; privacyContractName?: string }>
    /** wx.requirePrivacyAuthorize: resolves once the user has agreed, rejects with PRIVACY. */
    require(): Promise<unknown>
    /**
     * Shows your own sheet: the last handler is called for each API that waits, and its answer goes to all of them. Call
     * what it returns when the page unloads: whoever still waits gets `disagree`, the handler before comes back.
     */
    onNeed(handler: (sheet: Sheet) => void): () => void
  }

  /**
   * Forgets the token at once, whatever the network does, then tells the gate; rejects where that failed. With
   * `everywhere` all phones of this user are logged out, which needs a live token: NOT_LOGGED_IN without.
   */
  logout(options?: { everywhere?: boolean }): Promise<void>
  on<E extends keyof Events>(event: E, listener: (payload: Events[E]) => void): () => void
}

/** Throws a ClientError (UNSUPPORTED) without a baseUrl, or where there is no wx. */
export function createClient(options: Options): Client
