"""One page of a job, put through the code of a crawl: `crawlfleet try`. It must decide nothing by itself."""
