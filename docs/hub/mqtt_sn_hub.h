/* The hub's side of the serial format that ../hub.md explains: frames, and what is in them.
 *
 * C99, nothing but stdint.h and string.h, no allocation. Include it where it is needed:
 *
 *     static uint8_t room[SN_HUB_BUFFER_LEN(60)];
 *     static sn_hub_decoder line;
 *
 *     sn_hub_decoder_init(&line, room, sizeof room);
 *     ...
 *     if (sn_hub_push(&line, octet) == SN_HUB_FRAME) {
 *         sn_hub_message message;
 *         switch (sn_hub_decode(line.buffer, line.contents, &message)) {
 *         case SN_HUB_HELLO_REQUEST: ...
 *         case SN_HUB_SEND:          ...
 *         }
 *     }
 *
 * The encoders write a whole frame and return its length in octets, or 0 if it does not fit.
 *
 * Licence: Apache-2.0.
 */
#ifndef MQTT_SN_HUB_H
#define MQTT_SN_HUB_H

#include <stdint.h>
#include <string.h>

#define SN_HUB_VERSION 1u
/* Octets of the longest address, and of the longest name. */
#define SN_HUB_ADDRESS_LEN_MAX 8u
#define SN_HUB_TEXT_LEN_MAX 32u

/* Octets of a decoder's buffer, if no packet is longer than this. The gateway's other messages have
 * at most 32 octets. */
#define SN_HUB_BUFFER_LEN(max_packet) ((max_packet) < 19u ? 34u : (max_packet) + 15u)
/* Octets of the longest frame that a hub sends, if no packet is longer than this. A hello has up to
 * 94 octets. */
#define SN_HUB_FRAME_LEN(max_packet) \
    ((max_packet) < 75u ? 94u : (max_packet) + ((max_packet) + 16u) / 254u + 19u)

/* Types of messages. */
enum {
    SN_HUB_HELLO_REQUEST = 0x01,
    SN_HUB_SEND = 0x02,
    SN_HUB_HELLO = 0x81,
    SN_HUB_RECEIVED = 0x82,
    SN_HUB_RESULT = 0x83,
    SN_HUB_BUSY = 0x84
};

/* What became of a packet. */
enum {
    SN_HUB_OUT_SENT = 0,
    SN_HUB_OUT_ACKNOWLEDGED = 1,
    SN_HUB_OUT_NO_ANSWER = 2,
    SN_HUB_OUT_CHANNEL_BUSY = 3,
    SN_HUB_OUT_TOO_LONG = 4,
    SN_HUB_OUT_DUTY_CYCLE = 5,
    SN_HUB_OUT_NO_SUCH_DEVICE = 6,
    SN_HUB_OUT_QUEUE_FULL = 7,
    SN_HUB_OUT_RADIO_FAILED = 8
};

/* What sn_hub_push says of an octet. */
enum {
    SN_HUB_MORE = 0,
    SN_HUB_FRAME = 1,
    /* No frame: no COBS or cut off, too short, a wrong CRC, too long for the buffer. */
    SN_HUB_BAD_STUFFING = -1,
    SN_HUB_BAD_SHORT = -2,
    SN_HUB_BAD_CRC = -3,
    SN_HUB_BAD_LONG = -4
};

/* What sn_hub_decode says, if it is no type. */
enum {
    SN_HUB_NO_VERSION = -1,
    SN_HUB_NO_TYPE = -2,
    SN_HUB_NO_END = -3,
    SN_HUB_NO_ADDRESS = -4
};

typedef struct {
    uint8_t length;
    uint8_t octets[SN_HUB_ADDRESS_LEN_MAX];
} sn_hub_address;

/* From the gateway. What a type does not have is 0. */
typedef struct {
    /* HELLO_REQUEST: the highest version that the gateway speaks. */
    uint8_t version;
    /* SEND: names the packet in its result; 0 if none is wanted. */
    uint8_t sequence;
    /* SEND: to everybody, otherwise to this address. */
    uint8_t broadcast;
    sn_hub_address to;
    /* SEND: in the buffer of the decoder, so it stays until the next octet is pushed. */
    const uint8_t *packet;
    size_t packet_length;
} sn_hub_message;

/* From the radio. */
typedef struct {
    sn_hub_address from;
    /* It was sent to everybody, not to this hub. */
    uint8_t broadcast;
    /* dBm, -255 to -1; 0 if it is not known. */
    int16_t rssi;
    /* The larger the better; 0 if it is not known. */
    uint8_t lqi;
    const uint8_t *packet;
    size_t packet_length;
} sn_hub_received;

/* What the hub is. */
typedef struct {
    /* 1 after a start, 0 if it was asked. */
    uint8_t started;
    /* Packets that it takes before the first result. 0: it gives no results. */
    uint8_t queue;
    /* Octets of the longest packet on air; 0 if it is not known. */
    uint16_t max_packet;
    /* Share of the time that it may send, in 0.1 per mille: 100 is 1 %. 0: no limit. */
    uint16_t duty_cycle;
    /* Bits a second on air; 0 if it is not known. */
    uint32_t bit_rate;
    /* Octets of a device's address. */
    uint8_t address_len;
    /* Its own; length 0 if it has none. */
    sn_hub_address address;
    /* UTF-8, up to 32 octets each. */
    const char *name;
    const char *radio;
} sn_hub_hello;

/* ---- Frames ------------------------------------------------------------------------------------ */

typedef struct {
    uint8_t *buffer;
    size_t size;
    /* Octets of the frame's contents, after SN_HUB_FRAME, until the next octet is pushed. */
    size_t contents;
    size_t length;
    uint16_t crc;
    uint8_t block;
    uint8_t zero;
    uint8_t any;
    uint8_t skipping;
} sn_hub_decoder;

typedef struct {
    uint8_t *out;
    size_t size;
    size_t length;
    size_t count_at;
    uint16_t crc;
    uint8_t count;
} sn_hub_writer;

/* CRC-16/GENIBUS: polynomial 0x1021, start 0xFFFF, inverted at the end, check value 0xD64E. Before it
 * is inverted, it is 0x1D0F after contents and CRC. */
static inline uint16_t sn_hub_crc(uint16_t crc, uint8_t octet)
{
    static const uint16_t table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
        0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF
    };
    uint32_t wide = crc;
    wide = (wide << 4 & 0xFFFFu) ^ table[(wide >> 12 ^ (uint32_t)octet >> 4) & 0x0Fu];
    wide = (wide << 4 & 0xFFFFu) ^ table[(wide >> 12 ^ octet) & 0x0Fu];
    return (uint16_t)wide;
}

/* Forgets a frame that has begun. */
static inline void sn_hub_decoder_reset(sn_hub_decoder *decoder)
{
    decoder->length = 0;
    decoder->crc = 0xFFFF;
    decoder->block = 0;
    decoder->zero = 0;
    decoder->any = 0;
    decoder->skipping = 0;
}

static inline void sn_hub_decoder_init(sn_hub_decoder *decoder, uint8_t *buffer, size_t size)
{
    decoder->buffer = buffer;
    decoder->size = size;
    decoder->contents = 0;
    sn_hub_decoder_reset(decoder);
}

/* Used by sn_hub_push: 0 if there is no room. */
static inline int sn_hub_keep(sn_hub_decoder *decoder, uint8_t octet)
{
    if (decoder->length >= decoder->size)
        return 0;
    decoder->buffer[decoder->length++] = octet;
    decoder->crc = sn_hub_crc(decoder->crc, octet);
    return 1;
}

/* Takes the next octet of the line. SN_HUB_FRAME if it ends a frame that is whole. */
static inline int sn_hub_push(sn_hub_decoder *decoder, uint8_t octet)
{
    int result = SN_HUB_MORE;
    int fits = 1;
    if (octet == 0) {
        if (decoder->any && !decoder->skipping) {
            if (decoder->block > 0)
                result = SN_HUB_BAD_STUFFING;
            else if (decoder->length < 3)
                result = SN_HUB_BAD_SHORT;
            else if (decoder->crc != 0x1D0F)
                result = SN_HUB_BAD_CRC;
            else
                result = SN_HUB_FRAME;
        }
        decoder->contents = result == SN_HUB_FRAME ? decoder->length - 2 : 0;
        sn_hub_decoder_reset(decoder);
        return result;
    }
    decoder->any = 1;
    if (decoder->skipping)
        return SN_HUB_MORE;
    if (decoder->block > 0) {
        decoder->block--;
        fits = sn_hub_keep(decoder, octet);
    } else {
        if (decoder->zero)
            fits = sn_hub_keep(decoder, 0);
        decoder->block = (uint8_t)(octet - 1);
        decoder->zero = octet != 0xFF;
    }
    if (fits)
        return SN_HUB_MORE;
    decoder->skipping = 1;
    return SN_HUB_BAD_LONG;
}

/* Used by the encoders. */
static inline void sn_hub_put(sn_hub_writer *writer, uint8_t octet)
{
    if (writer->length < writer->size)
        writer->out[writer->length] = octet;
    writer->length++;
}

static inline void sn_hub_begin_block(sn_hub_writer *writer)
{
    writer->count_at = writer->length;
    writer->count = 1;
    sn_hub_put(writer, 1);
}

static inline void sn_hub_end_block(sn_hub_writer *writer)
{
    if (writer->count_at < writer->size)
        writer->out[writer->count_at] = writer->count;
}

static inline void sn_hub_stuff(sn_hub_writer *writer, uint8_t octet)
{
    if (writer->count == 0xFF) {
        sn_hub_end_block(writer);
        sn_hub_begin_block(writer);
    }
    if (octet == 0) {
        sn_hub_end_block(writer);
        sn_hub_begin_block(writer);
    } else {
        sn_hub_put(writer, octet);
        writer->count++;
    }
}

static inline void sn_hub_add(sn_hub_writer *writer, const void *octets, size_t length)
{
    const uint8_t *next = (const uint8_t *)octets;
    for (; length > 0; length--, next++) {
        writer->crc = sn_hub_crc(writer->crc, *next);
        sn_hub_stuff(writer, *next);
    }
}

static inline void sn_hub_add_octet(sn_hub_writer *writer, uint8_t octet)
{
    sn_hub_add(writer, &octet, 1);
}

static inline void sn_hub_add_number(sn_hub_writer *writer, uint32_t number, uint8_t octets)
{
    while (octets > 0) {
        octets--;
        sn_hub_add_octet(writer, (uint8_t)(number >> 8 * octets & 0xFFu));
    }
}

static inline void sn_hub_begin(sn_hub_writer *writer, uint8_t *out, size_t size, uint8_t type)
{
    writer->out = out;
    writer->size = size;
    writer->length = 0;
    writer->crc = 0xFFFF;
    sn_hub_put(writer, 0);
    sn_hub_begin_block(writer);
    sn_hub_add_octet(writer, SN_HUB_VERSION);
    sn_hub_add_octet(writer, type);
}

static inline size_t sn_hub_end(sn_hub_writer *writer)
{
    uint16_t crc = writer->crc ^ 0xFFFFu;
    sn_hub_stuff(writer, (uint8_t)(crc >> 8));
    sn_hub_stuff(writer, (uint8_t)(crc & 0xFF));
    sn_hub_end_block(writer);
    sn_hub_put(writer, 0);
    return writer->length <= writer->size ? writer->length : 0;
}

/* ---- From the gateway -------------------------------------------------------------------------- */

/* Reads what is in a frame: SN_HUB_HELLO_REQUEST, SN_HUB_SEND, or a negative number if it is
 * something else, which is to be left alone. */
static inline int sn_hub_decode(const uint8_t *contents, size_t length, sn_hub_message *message)
{
    memset(message, 0, sizeof *message);
    if (length > 0 && contents[0] != SN_HUB_VERSION)
        return SN_HUB_NO_VERSION;
    if (length < 2)
        return SN_HUB_NO_END;
    if (contents[1] == SN_HUB_HELLO_REQUEST) {
        if (length < 3)
            return SN_HUB_NO_END;
        message->version = contents[2];
        return SN_HUB_HELLO_REQUEST;
    }
    if (contents[1] != SN_HUB_SEND)
        return SN_HUB_NO_TYPE;
    if (length < 5)
        return SN_HUB_NO_END;
    message->sequence = contents[2];
    message->broadcast = contents[3] & 1;
    message->to.length = contents[4];
    if (message->to.length > SN_HUB_ADDRESS_LEN_MAX)
        return SN_HUB_NO_ADDRESS;
    if (length - 5 < message->to.length)
        return SN_HUB_NO_END;
    if (message->broadcast && message->to.length > 0)
        return SN_HUB_NO_ADDRESS;
    memcpy(message->to.octets, contents + 5, message->to.length);
    message->packet = contents + 5 + message->to.length;
    message->packet_length = length - 5 - message->to.length;
    return SN_HUB_SEND;
}

/* ---- To the gateway ---------------------------------------------------------------------------- */

static inline size_t sn_hub_encode_received(uint8_t *out, size_t size, const sn_hub_received *received)
{
    sn_hub_writer writer;
    int16_t rssi = received->rssi;
    if (received->from.length > SN_HUB_ADDRESS_LEN_MAX)
        return 0;
    sn_hub_begin(&writer, out, size, SN_HUB_RECEIVED);
    sn_hub_add_octet(&writer, received->broadcast ? 1 : 0);
    sn_hub_add_octet(&writer, rssi >= 0 ? 0 : rssi < -255 ? 255 : (uint8_t)-rssi);
    sn_hub_add_octet(&writer, received->lqi);
    sn_hub_add_octet(&writer, received->from.length);
    sn_hub_add(&writer, received->from.octets, received->from.length);
    sn_hub_add(&writer, received->packet, received->packet_length);
    return sn_hub_end(&writer);
}

/* 0, too, if a name is longer than 32 octets. */
static inline size_t sn_hub_encode_hello(uint8_t *out, size_t size, const sn_hub_hello *hello)
{
    sn_hub_writer writer;
    size_t name = strlen(hello->name);
    size_t radio = strlen(hello->radio);
    if (name > SN_HUB_TEXT_LEN_MAX || radio > SN_HUB_TEXT_LEN_MAX)
        return 0;
    if (hello->address.length > SN_HUB_ADDRESS_LEN_MAX)
        return 0;
    sn_hub_begin(&writer, out, size, SN_HUB_HELLO);
    sn_hub_add_octet(&writer, SN_HUB_VERSION);
    sn_hub_add_octet(&writer, hello->started ? 1 : 0);
    sn_hub_add_number(&writer, hello->max_packet, 2);
    sn_hub_add_octet(&writer, hello->queue);
    sn_hub_add_number(&writer, hello->duty_cycle, 2);
    sn_hub_add_number(&writer, hello->bit_rate, 4);
    sn_hub_add_octet(&writer, hello->address_len);
    sn_hub_add_octet(&writer, hello->address.length);
    sn_hub_add(&writer, hello->address.octets, hello->address.length);
    sn_hub_add_octet(&writer, (uint8_t)name);
    sn_hub_add(&writer, hello->name, name);
    sn_hub_add_octet(&writer, (uint8_t)radio);
    sn_hub_add(&writer, hello->radio, radio);
    return sn_hub_end(&writer);
}

/* Call it once for each packet that has a sequence number. */
static inline size_t sn_hub_encode_result(uint8_t *out, size_t size, uint8_t sequence, uint8_t outcome)
{
    sn_hub_writer writer;
    sn_hub_begin(&writer, out, size, SN_HUB_RESULT);
    sn_hub_add_octet(&writer, sequence);
    sn_hub_add_octet(&writer, outcome);
    return sn_hub_end(&writer);
}

/* No packets for so long; 0: they can come again. */
static inline size_t sn_hub_encode_busy(uint8_t *out, size_t size, uint32_t milliseconds)
{
    sn_hub_writer writer;
    sn_hub_begin(&writer, out, size, SN_HUB_BUSY);
    sn_hub_add_number(&writer, milliseconds, 4);
    return sn_hub_end(&writer);
}

#endif
