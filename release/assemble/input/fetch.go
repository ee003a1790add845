package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Fetcher reads small files from where a person says they are.
type Fetcher struct {
	Stdin io.Reader
	// Client carries requests; default is one that gives up after a minute.
	Client *http.Client
	// Attempts at a URL, and the pause before the second, which doubles; defaults 5 and half a second.
	Attempts int
	Pause    time.Duration
}

// Read reads a file, standard input for "-", or an http or https URL. More than
// limit bytes are an error. Answers of a server that may pass are waited for.
func (f Fetcher) Read(ctx context.Context, location string, limit int64) ([]byte, error) {
	switch {
	case location == "-":
		data, err := readAll(f.Stdin, limit)
		if err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
		return data, nil
	case strings.HasPrefix(location, "http://"), strings.HasPrefix(location, "https://"):
		u, err := url.Parse(location)
		if err != nil {
			return nil, errors.New("reading a URL: it is not a valid one")
		}
		data, err := f.get(ctx, u, limit)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", u.Redacted(), err)
		}
		return data, nil
	}
	file, err := os.Open(location)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := readAll(file, limit)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", location, err)
	}
	return data, nil
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return data, nil
}

func (f Fetcher) get(ctx context.Context, u *url.URL, limit int64) ([]byte, error) {
	if f.Client == nil {
		f.Client = &http.Client{Timeout: time.Minute, CheckRedirect: keepSecure}
	}
	if f.Attempts == 0 {
		f.Attempts, f.Pause = 5, 500*time.Millisecond
	}
	for attempt := 1; ; attempt++ {
		data, again, err := f.once(ctx, u, limit)
		if err == nil || !again || attempt == f.Attempts || ctx.Err() != nil {
			return data, err
		}
		select {
		case <-time.After(f.Pause << (attempt - 1)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// keepSecure refuses to be led from https to http, where anybody could answer.
func keepSecure(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("it redirects too often")
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("it redirects from https to http")
	}
	return nil
}

func (f Fetcher) once(ctx context.Context, u *url.URL, limit int64) (data []byte, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, false, errors.New("it is not a valid URL")
	}
	resp, err := f.Client.Do(req)
	if err != nil {
		// The library's error repeats the whole URL, which may bear a password.
		var request *url.Error
		if errors.As(err, &request) {
			err = request.Err
		}
		return nil, true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		again = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
		return nil, again, fmt.Errorf("the server answered %s", resp.Status)
	}
	if resp.ContentLength > limit {
		return nil, false, fmt.Errorf("it is larger than %d bytes", limit)
	}
	if data, err = readAll(resp.Body, limit); err != nil {
		return nil, !strings.Contains(err.Error(), "larger than"), err
	}
	return data, false, nil
}

// ImageStream reads an ImageStream from a file, standard input or a URL, as
// FromImageStream does.
func (f Fetcher) ImageStream(ctx context.Context, location, mode string, without ...string) (*Set, error) {
	data, err := f.Read(ctx, location, maxImageStream)
	if err != nil {
		return nil, fmt.Errorf("reading ImageStream: %w", err)
	}
	return FromImageStream(data, mode, without...)
}

// Mapping reads mapping files.
func (f Fetcher) Mapping(ctx context.Context, locations []string) ([]Override, error) {
	var overrides []Override
	var problems []error
	for _, location := range locations {
		data, err := f.Read(ctx, location, maxMapping)
		if err != nil {
			problems = append(problems, fmt.Errorf("reading mapping file: %w", err))
			continue
		}
		found, err := ParseMapping(location, data)
		problems = append(problems, err)
		overrides = append(overrides, found...)
	}
	return overrides, errors.Join(problems...)
}
