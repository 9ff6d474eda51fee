/* Tar archives and OCI layouts, for tests. */
#include "tar.h"

#include "base/codec.h"
#include "base/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <sys/stat.h>

void tar_write(const char *to, const char *compression, const struct tar_entry *entries, size_t count)
{
    struct archive *a = archive_write_new();

    archive_write_set_format_pax_restricted(a);
    if (strcmp(compression, "gzip") == 0)
        archive_write_add_filter_gzip(a);
    else if (strcmp(compression, "zstd") == 0)
        archive_write_add_filter_zstd(a);
    ASSERT_INT(archive_write_open_filename(a, to), ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        const struct tar_entry *t = &entries[i];
        struct archive_entry *e = archive_entry_new();
        AUTO_BUF struct buf content = BUF_MAX(64 * MIB);
        if (t->from_file)
            file_read(t->from_file, &content, NULL);
        else if (t->type == 'f')
            buf_add_text(&content, t->content ? t->content : "");
        archive_entry_set_pathname(e, t->path);
        archive_entry_set_perm(e, t->mode ? t->mode : t->type == 'd' ? 0755 : 0644);
        archive_entry_set_uid(e, t->uid);
        archive_entry_set_gid(e, t->gid);
        archive_entry_set_mtime(e, 1000000000, 0);
        archive_entry_set_filetype(e, t->type == 'd'   ? AE_IFDIR
                                      : t->type == 'l' ? AE_IFLNK
                                      : t->type == 'c' ? AE_IFCHR
                                                       : AE_IFREG);
        if (t->type == 'l')
            archive_entry_set_symlink(e, t->content);
        if (t->type == 'h')
            archive_entry_set_hardlink(e, t->content);
        archive_entry_set_size(e, t->type == 'f' ? (int64_t)content.n : 0);
        ASSERT(archive_write_header(a, e) == ARCHIVE_OK);
        if (t->type == 'f' && content.n)
            ASSERT(archive_write_data(a, content.p, content.n) == (la_ssize_t)content.n);
        archive_entry_free(e);
    }
    ASSERT_INT(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

/* Store bytes as a blob; returns its digest in hex. */
static char *put_blob(const char *root, struct str bytes, char hex[SHA256_HEX_SIZE])
{
    char path[512];
    sha256_hex(bytes, hex);
    snprintf(path, sizeof(path), "%s/blobs/sha256/%s", root, hex);
    ASSERT(file_write(path, bytes, 0644, NULL) == 0);
    return hex;
}

const char *oci_layout(const char *name, const char *const *layers, size_t count, const char *config_json)
{
    const char *root = test_path(name);
    AUTO_BUF struct buf config = BUF_MAX(MIB);
    AUTO_BUF struct buf manifest = BUF_MAX(MIB);
    AUTO_BUF struct buf list = BUF_MAX(MIB);
    char path[512], hex[SHA256_HEX_SIZE];

    snprintf(path, sizeof(path), "%s/blobs/sha256", root);
    ASSERT(file_mkdirs(path, 0755, NULL) == 0);
    buf_addf(
        &config,
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":%s,\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
        config_json);
    for (size_t i = 0; i < count; i++) {
        AUTO_BUF struct buf layer = BUF_MAX(64 * MIB);
        ASSERT(file_read(layers[i], &layer, NULL) == 0);
        put_blob(root, buf_str(&layer), hex);
        buf_addf(&config, "%s\"sha256:%s\"", i ? "," : "", hex);
        buf_addf(&list,
                 "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:%s\",\"size\":%zu}",
                 i ? "," : "", hex, layer.n);
    }
    buf_addf(&config, "]}}");
    put_blob(root, buf_str(&config), hex);
    buf_addf(
        &manifest,
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
        "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:%s\",\"size\":%zu},\"layers\":[%s]}",
        hex, config.n, list.p ? list.p : "");
    put_blob(root, buf_str(&manifest), hex);
    buf_clear(&config);
    buf_addf(
        &config,
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":"
        "\"sha256:%s\",\"size\":%zu,\"annotations\":{\"org.opencontainers.image.ref.name\":\"latest\"}}]}",
        hex, manifest.n);
    snprintf(path, sizeof(path), "%s/index.json", root);
    ASSERT(file_write(path, buf_str(&config), 0644, NULL) == 0);
    snprintf(path, sizeof(path), "%s/oci-layout", root);
    ASSERT(file_write(path, STR("{\"imageLayoutVersion\":\"1.0.0\"}"), 0644, NULL) == 0);
    return root;
}
