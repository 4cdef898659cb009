/**
 * The part of the HTTP API that the dashboard uses, in the layout that openapi-typescript emits.
 */

export interface paths {
  '/v1/me': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Me'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    patch?: never
  }
  '/v1/datasets': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: { limit?: number; cursor?: string }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: {
            'application/json': { items: components['schemas']['Dataset'][]; nextCursor: string | null }
          }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: {
        content: {
          'application/json': {
            name: string
            description?: string
            retention?: 'forever' | 'year' | 'month' | 'week'
          }
        }
      }
      responses: {
        201: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Dataset'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/datasets/{dataset}': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: never
        header?: never
        path: { dataset: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Dataset'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    delete: {
      parameters: {
        query?: never
        header?: never
        path: { dataset: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        204: {
          headers: { [name: string]: unknown }
          content?: never
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    patch?: never
  }
  '/v1/datasets/{dataset}/series': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: { metric?: string; tags?: string; limit?: number; cursor?: string }
        header?: never
        path: { dataset: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: {
            'application/json': { items: components['schemas']['Series'][]; nextCursor: string | null }
          }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    patch?: never
  }
  '/v1/series/{id}/points': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: { from?: string; to?: string; limit?: number }
        header?: never
        path: { id: number }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Points'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    patch?: never
  }
  '/v1/series/{id}/band': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: { jobId?: string; from?: string; to?: string }
        header?: never
        path: { id: number }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Band'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    patch?: never
  }
  '/v1/jobs': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: { limit?: number; cursor?: string }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: {
            'application/json': { items: components['schemas']['Job'][]; nextCursor: string | null }
          }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: { content: { 'application/json': components['schemas']['NewJob'] } }
      responses: {
        201: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Job'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/jobs/{id}': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Job'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    delete: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        204: {
          headers: { [name: string]: unknown }
          content?: never
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    patch?: never
  }
  '/v1/jobs/{id}/cancel': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Job'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/jobs/{id}/pause': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Job'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/jobs/{id}/resume': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Job'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/jobs/{id}/runs': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: { limit?: number; cursor?: string }
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: {
            'application/json': { items: components['schemas']['Run'][]; nextCursor: string | null }
          }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    post: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        201: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Run'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/anomalies': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: {
          state?: components['schemas']['AnomalyState']
          severity?: components['schemas']['Severity']
          datasetId?: string
          jobId?: string
          seriesId?: number
          from?: string
          to?: string
          limit?: number
          cursor?: string
        }
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: {
            'application/json': { items: components['schemas']['Anomaly'][]; nextCursor: string | null }
          }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    patch?: never
  }
  '/v1/anomalies/{id}': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Anomaly'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    patch?: never
  }
  '/v1/anomalies/{id}/acknowledge': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: { content: { 'application/json': { note?: string } } }
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Anomaly'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/anomalies/{id}/dismiss': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: { content: { 'application/json': { note?: string } } }
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Anomaly'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/anomalies/{id}/resolve': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: { content: { 'application/json': { note?: string } } }
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Anomaly'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/anomalies/{id}/reopen': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: { content: { 'application/json': { note?: string } } }
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Anomaly'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/algorithms': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: {
            'application/json': {
              items: components['schemas']['AlgorithmDescription'][]
              nextCursor: string | null
            }
          }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    post?: never
    delete?: never
    patch?: never
  }
  '/v1/demo': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        201: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['Demo'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/webhook': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': { url: string } | null }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: { content: { 'application/json': { url: string } } }
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': { url: string; secret: string } }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    delete: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        204: {
          headers: { [name: string]: unknown }
          content?: never
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    post?: never
    patch?: never
  }
  '/v1/webhook/test': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': { delivered: boolean } }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/keys': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    get: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        200: {
          headers: { [name: string]: unknown }
          content: { 'application/json': { items: components['schemas']['ApiKey'][] } }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody: { content: { 'application/json': { name: string; role: components['schemas']['Role'] } } }
      responses: {
        201: {
          headers: { [name: string]: unknown }
          content: { 'application/json': components['schemas']['NewApiKey'] }
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    put?: never
    delete?: never
    patch?: never
  }
  '/v1/keys/{id}': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    delete: {
      parameters: {
        query?: never
        header?: never
        path: { id: string }
        cookie?: never
      }
      requestBody?: never
      responses: {
        204: {
          headers: { [name: string]: unknown }
          content?: never
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    post?: never
    patch?: never
  }
  '/v1/sign-out': {
    parameters: { query?: never; header?: never; path?: never; cookie?: never }
    post: {
      parameters: {
        query?: never
        header?: never
        path?: never
        cookie?: never
      }
      requestBody?: never
      responses: {
        204: {
          headers: { [name: string]: unknown }
          content?: never
        }
        default: {
          headers: { [name: string]: unknown }
          content: { 'application/problem+json': components['schemas']['Problem'] }
        }
      }
    }
    get?: never
    put?: never
    delete?: never
    patch?: never
  }
}

export interface components {
  schemas: {
    Problem: {
      type: string
      title: string
      status: number
      detail: string
      hint?: string
      instance?: string
      errors?: { field: string; reason: string }[]
    }
    Role: 'admin' | 'editor' | 'viewer'
    Me: { tenant: { id: string; name: string }; role: components['schemas']['Role']; version: string }
    Dataset: {
      id: string
      name: string
      description: string
      retention: 'forever' | 'year' | 'month' | 'week'
      createdAt: string
      seriesCount: number
      latestAt: string | null
    }
    Series: {
      id: number
      metric: string
      tags: { [key: string]: string }
      datasetId: string
      createdAt: string
      latestAt: string | null
    }
    Points: { seriesId: number; timesMs: number[]; values: (number | string)[]; truncated: boolean }
    Band: {
      seriesId: number
      jobId: string
      detector: { algorithm: string; reason: string } | null
      timesMs: number[]
      expected: (number | null)[]
      lower: (number | null)[]
      upper: (number | null)[]
    }
    Budget: { alarms: number; perSeconds: number }
    Detector: {
      id: string
      name: string
      algorithm: string
      parameters: { [key: string]: number }
      budget: components['schemas']['Budget']
    }
    Schedule: { kind: 'once' } | { kind: 'streaming' } | { kind: 'cron'; cron: string; timeZone?: string }
    Selector: { metric?: string; tags?: { [key: string]: string } }
    NewJob: {
      name?: string
      dataset: string
      detectorId?: string
      detector?: {
        algorithm?: string
        parameters?: { [key: string]: number }
        budget?: components['schemas']['Budget']
      }
      schedule: components['schemas']['Schedule']
      selector?: components['schemas']['Selector']
    }
    JobStatus: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'paused'
    Job: {
      id: string
      name: string
      datasetId: string
      datasetName: string
      detector: components['schemas']['Detector']
      schedule: components['schemas']['Schedule']
      selector: components['schemas']['Selector']
      status: components['schemas']['JobStatus']
      createdAt: string
      updatedAt: string
      lastRun: components['schemas']['Run'] | null
      openAnomalies: number
    }
    Run: {
      id: string
      jobId: string
      status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'
      attempt: number
      seriesTotal: number
      seriesDone: number
      pointsScanned: number
      anomaliesFound: number
      createdAt: string
      startedAt: string | null
      finishedAt: string | null
      error: { message: string; hint: string | null } | null
    }
    Severity: 'low' | 'medium' | 'high' | 'critical'
    AnomalyState: 'open' | 'acknowledged' | 'resolved' | 'dismissed'
    Anomaly: {
      id: string
      jobId: string
      runId: string
      datasetId: string
      datasetName: string
      seriesId: number
      metric: string
      tags: { [key: string]: string }
      startedAt: string
      endedAt: string
      detectedAt: string
      peakAt: string
      observed: number
      expected: number
      lower: number
      upper: number
      score: number
      detectedScore: number
      probability: number
      severity: components['schemas']['Severity']
      direction: 'above' | 'below' | 'pattern'
      algorithm: string
      explanation: string
      ongoing: boolean
      state: components['schemas']['AnomalyState']
      note: string | null
      stateChangedAt: string | null
      stateChangedBy: string | null
      createdAt: string
    }
    AlgorithmDescription: { name: string; description: string }
    Demo: {
      datasetId: string
      jobId: string
      incidents: { metric: string; tags: { [key: string]: string }; from: string; to: string; what: string }[]
    }
    ApiKey: {
      id: string
      name: string
      role: components['schemas']['Role']
      prefix: string
      createdAt: string
      lastUsedAt: string | null
    }
    NewApiKey: components['schemas']['ApiKey'] & { key: string }
  }
}
